"""Seconds by stage: every second of a run belongs to one stage of one submission."""

from itertools import count

from harness.cli.profile import largest_parts, profile_table
from harness.engines.inline import InlineEngine
from harness.pipeline import run
from harness.run.stage_times import WHOLE_RUN, StageTimes


def test_time_between_reports_belongs_to_the_first_one() -> None:
    now = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0, 15.0, 15.0, 15.0])
    times = StageTimes(lambda: next(now))  # at 0
    times.begin(WHOLE_RUN, "wait")  # at 1
    times.begin("a", "load")  # at 3
    times.begin("b", "load")  # at 6
    times.begin("a", "time")  # at 10
    times.end()  # at 15
    assert [times.of(slug) for slug in ("", "a", "b")] == [{"wait": 2.0}, {"load": 3.0, "time": 5.0}, {"load": 4.0}]


def test_nothing_is_added_after_the_end() -> None:
    ticks = count()
    times = StageTimes(lambda: float(next(ticks)))
    times.begin("a", "load")
    times.end()
    assert times.of("a") == times.of("a") == {"load": 1.0}
    assert times.of("other") == {}


def test_a_run_stores_the_seconds_of_each_stage(submit_sharp, request_for) -> None:
    submit_sharp("net")
    finished = run(request_for(), engine=InlineEngine())
    (row,) = finished.run.entries
    assert {"load", "reparameterize", "count", "time", "upscale"} <= set(row.stage_seconds)
    assert all(seconds >= 0 for seconds in row.stage_seconds.values())
    assert "seconds by stage" in (finished.folder / "models" / f"{row.slug}.html").read_text().lower()
    assert largest_parts(finished.run).startswith("measured in ")
    assert profile_table(finished.run).row_count == 2  # the network, and all
    # A run that finds its measurements says what they took when they were made.
    assert run(request_for(), engine=InlineEngine()).run.entries[0].stage_seconds == row.stage_seconds
