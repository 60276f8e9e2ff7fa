"""The estimate of the rest of a run: defaults at first, then what finished parts took."""

import pytest

from harness.run.remaining_time import DEFAULT_S, REPORT_S, Rates, RemainingTime


def test_a_rate_is_the_default_before_anything_is_measured() -> None:
    assert Rates().seconds_per_unit("a", "prepare") == DEFAULT_S["prepare"]


def test_a_rate_follows_what_was_measured() -> None:
    rates = Rates()
    for slug in "abcdefgh":
        rates.add(slug, "prepare", seconds=40.0, units=1.0)
    assert rates.seconds_per_unit("new", "prepare") == pytest.approx(40.0, rel=0.06)
    assert rates.seconds_per_unit("new", "upscale") == DEFAULT_S["upscale"]


def test_a_rate_of_one_submission_is_its_own_rather_than_that_of_all() -> None:
    rates = Rates()
    rates.add("fast", "upscale", seconds=1.0, units=100.0)
    rates.add("slow", "upscale", seconds=500.0, units=100.0)
    assert rates.seconds_per_unit("slow", "upscale") == pytest.approx(5.0, rel=0.05)
    assert rates.seconds_per_unit("fast", "upscale") < 0.1
    assert 1.0 < rates.seconds_per_unit("new", "upscale") < 4.0


def test_the_rest_of_a_run_is_the_sum_of_its_parts() -> None:
    remaining = RemainingTime(["a", "b"], images=10, timing_s=8.0, processes=3)
    each = DEFAULT_S["prepare"] + 8.0 + 2 * DEFAULT_S["restart"] + 10 * DEFAULT_S["upscale"]
    assert remaining.seconds_left() == pytest.approx(2 * each + REPORT_S)
    remaining.finish("a", succeeded=False)
    assert remaining.seconds_left() == pytest.approx(each + REPORT_S)
    remaining.finish("b", succeeded=True)
    assert remaining.seconds_left() == REPORT_S


def test_what_a_submission_omits_teaches_nothing() -> None:
    remaining = RemainingTime(["failed", "reused", "new"], images=2, timing_s=8.0)
    before = remaining.seconds_left_of("new", "prepare")
    remaining.finish("reused", succeeded=False)
    remaining.advance("failed", "prepare", 0.0)
    remaining.finish("failed", succeeded=False)
    assert remaining.seconds_left_of("new", "prepare") == before


def test_what_an_earlier_run_has_timed_teaches_nothing() -> None:
    remaining = RemainingTime(["resumed", "new"], images=2, timing_s=8.0, processes=3)
    remaining.advance_timing("resumed", 2, 3, 0.0)  # two of its processes were timed before
    remaining.spend("resumed", "time", 4.0)
    remaining.complete("resumed", "time")
    assert remaining.seconds_left_of("resumed", "time") == 0
    assert remaining.seconds_left_of("new", "time") == pytest.approx(4.0 * 3, rel=0.2)


def test_networks_that_are_timed_together_have_as_many_processes_behind_them() -> None:
    remaining = RemainingTime(["a", "b", "later"], images=0, timing_s=9.0, processes=3)
    remaining.advance_timing("a", 0, 3, 0.0)
    remaining.advance_timing("b", 0, 3, 0.0)
    remaining.advance_timing("a", 1, 3, 0.0)
    shares = [remaining.seconds_left_of(slug, "time") / 9.0 for slug in ("a", "b", "later")]
    assert shares[0] == shares[1] < shares[2]


def test_work_that_is_repeated_or_finished_changes_nothing() -> None:
    remaining = RemainingTime(["a"], images=4, timing_s=None)
    remaining.advance_share("a", "upscale", 0.75)
    left_s = remaining.seconds_left()
    remaining.advance_share("a", "upscale", 0.25)
    assert remaining.seconds_left() == left_s
    remaining.finish("a", succeeded=True)
    remaining.finish("a", succeeded=True)
    remaining.advance_share("a", "upscale", 0.5)
    remaining.advance_timing("a", 0, 1, 0.5)
    assert remaining.seconds_left() == REPORT_S
