"""Networks that are timed in several processes: what is started, what is kept, what of it fails."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from failing_anchor import FailingAnchor

from harness.analysis.compare_models import compare_models
from harness.cli.terminal import leaderboard_table
from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.errors import UsageError
from harness.isolation.session import Session
from harness.pipeline import FinishedRun, run
from harness.report import load_run
from harness.results import Entry, Measurement, read_run
from harness.results.samples import read_timing
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, StageProgress
from harness.statistics.process_spread import RelativeTimes, spread_info
from harness.statistics.runtime_summary import process_spread
from harness.timing import PROTOCOLS, protocol_for
from harness.timing.rounds import Rounds

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]

# Which process of the network this is, from 0: the inline engine runs all in this one, so a counter of ours tells.
COUNTED = """
import sys
sys.processes_of_it += 1
PROCESS = sys.processes_of_it

"""


@pytest.fixture
def sharp(submit_sharp: Submit) -> Submit:
    """Return a function that writes networks better than bicubic: no other worker is opened to look for a reason."""
    return submit_sharp


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "processes_of_it", -1, raising=False)


def by_name(finished: FinishedRun) -> dict[str, Entry]:
    return {entry.name: entry for entry in finished.run.entries}


def test_every_network_is_started_anew_for_each_process_and_the_anchor_once(
    sharp: Submit, request_for: Request
) -> None:
    sharp("one")
    sharp("two", "x = x * 0.999")
    engine = FailingAnchor()
    finished = run(request_for(protocol="robust", time_budget_s=1.5, processes=3), engine=engine)
    assert {row.status for row in by_name(finished).values()} == {"ok"}
    assert engine.opened == ["one", "two", "anchor", "one", "two", "one", "two"]
    assert finished.run.protocol.processes == 3
    assert "3 processes" in finished.run.protocol.repeats
    timing = read_timing(finished.folder, "one")
    assert [turn.process for turn in timing.rounds] == sorted(turn.process for turn in timing.rounds)
    assert {turn.process for turn in timing.rounds} == {0, 1, 2}
    assert len({turn.number for turn in timing.rounds}) == len(timing.rounds)
    assert (
        sum(turn.calls for turn in timing.rounds) == len(timing.samples) == by_name(finished)["one"].runtime_ms.samples
    )
    assert [at_s for at_s, _ in timing.samples] == sorted(at_s for at_s, _ in timing.samples)
    spread = read_run(finished.folder).process_spread
    assert spread == spread_info(process_spread([timing, read_timing(finished.folder, "two")]))
    # Of two networks with three processes each; half of it where most of the spread hit both alike.
    assert spread.degrees in (4, 2)
    assert spread.paired_degrees == 2


class StoppedBeforeProcess(FailingAnchor):
    """Is interrupted where a network is started for the n-th time."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__()
        self.name_of_it, self.number = name, number

    def open(self, job: Job) -> Session:
        if self.opened.count(self.name_of_it) == self.number and job.submission.root.name == self.name_of_it:
            raise KeyboardInterrupt
        return super().open(job)


class Numbered(FailingAnchor):
    """Remembers which process of its network each worker was started as."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: dict[str, list[int]] = {}

    def open(self, job: Job) -> Session:
        self.processes.setdefault(job.submission.name, []).append(job.process)
        return super().open(job)


def test_nothing_that_a_broken_group_had_timed_is_continued(
    sharp: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharp("one")
    sharp("two", "x = x * 0.999")
    begun = []
    time_rounds = Rounds.run

    def broken(rounds: Rounds) -> None:
        begun.append(rounds)
        if len(begun) == 2:  # the group's second process, when the first one is stored
            raise RuntimeError("which network caused it is unknown")
        time_rounds(rounds)

    monkeypatch.setattr(Rounds, "run", broken)
    engine = Numbered()
    finished = run(request_for(protocol="robust", time_budget_s=0.6, processes=2), engine=engine)
    assert engine.processes == {"one": [0, 1, 0, 1], "two": [0, 1, 0, 1], "anchor": [0, 0]}
    timings = [read_timing(finished.folder, name) for name in ("one", "two")]
    assert timings[0].session != timings[1].session
    assert all({turn.process for turn in timing.rounds} == {0, 1} for timing in timings)
    for row in by_name(finished).values():
        assert (row.status, row.error) == ("ok", None)
        assert row.peak_memory_bytes is not None


def test_a_run_that_was_stopped_between_processes_goes_on_with_the_next(sharp: Submit, request_for: Request) -> None:
    sharp("one")
    sharp("two", "x = x * 0.999")
    request = request_for(protocol="robust", time_budget_s=1.2, processes=3)
    stopped = run(request, engine=StoppedBeforeProcess("two", 2))
    assert stopped.run.entries == []
    before = [m.timing for m in unfinished(stopped.folder)]
    assert [{turn.process for turn in timing.rounds} for timing in before] == [{0, 1}, {0, 1}]
    assert {timing.remaining_work.processes for timing in before} == {1}
    sharp("three", "x = x * 0.998")
    engine = Numbered()
    finished = run(request, engine=engine)
    assert engine.processes == {"one": [2], "two": [2], "three": [0, 1, 2], "anchor": [0]}  # one log for all
    assert {name: engine.opened.count(name) for name in ("one", "two", "three")} == {"one": 1, "two": 1, "three": 3}
    timings = {name: read_timing(finished.folder, name) for name in ("one", "two", "three")}
    for timing in timings.values():
        assert {turn.process for turn in timing.rounds} == {0, 1, 2}
        assert len({turn.number for turn in timing.rounds}) == len(timing.rounds)
        assert sum(turn.calls for turn in timing.rounds) == len(timing.samples)
        assert [at_s for at_s, _ in timing.samples] == sorted(at_s for at_s, _ in timing.samples)
        assert timing.remaining_work is None
    assert len({timing.session for timing in timings.values()}) == 1
    first, second = timings["one"].anchor.split("+")
    assert timings["two"].anchor == timings["one"].anchor
    assert (timings["three"].anchor, {timing.anchor for timing in before}) == (second, {first})
    for timing in before:
        again = next(one for one in timings.values() if one.samples[0] == timing.samples[0])
        assert again.samples[: len(timing.samples)] == timing.samples
        assert again.rounds[: len(timing.rounds)] == timing.rounds
    spread = finished.run.process_spread
    assert spread.degrees in (6, 2)  # of three networks; of one where most hits all alike
    assert spread.paired_degrees == 2  # one and two; three had two of its processes without them
    last = [max(turn.number for turn in timing.rounds) for timing in before]
    assert min(turn.number for turn in timings["three"].rounds) > max(last)
    assert unfinished(finished.folder) == []


def test_a_stop_takes_no_disqualification_back(sharp: Submit, request_for: Request) -> None:
    sharp("a-fickle", "x = x * (0.8 if PROCESS == 1 else 1.0)", before=COUNTED)  # found in its second process
    sharp("b-honest", "x = x * 0.999")
    request = request_for(protocol="robust", time_budget_s=1.2, processes=3)
    run(request, engine=StoppedBeforeProcess("b-honest", 2))
    (kept,) = unfinished(request.out)
    assert {turn.process for turn in kept.timing.rounds} == {0, 1}
    sys.processes_of_it = -1
    rows = by_name(run(request, engine=FailingAnchor()))
    assert {name: row.status for name, row in rows.items()} == {"a-fickle": "disqualified", "b-honest": "ok"}


def test_what_goes_on_apart_is_not_taken_for_the_same_rounds(sharp: Submit, request_for: Request) -> None:
    sharp("one")
    sharp("two", "x = x * 0.999")
    request = request_for(protocol="robust", time_budget_s=1.2, processes=2)
    run(request, engine=StoppedBeforeProcess("two", 1))
    before = {m.fingerprint: m.timing.rounds for m in unfinished(request.out)}
    run(replace(request, only=("two",)), engine=FailingAnchor())
    finished = run(request, engine=FailingAnchor())
    one, two = (read_timing(finished.folder, name) for name in ("one", "two"))
    assert one.session == two.session
    together = {turn.number for turn in one.rounds} & {turn.number for turn in two.rounds}
    assert together == set.intersection(*({turn.number for turn in rounds} for rounds in before.values()))
    assert together
    assert one.anchor.split("+")[0] == two.anchor.split("+")[0]
    assert one.anchor != two.anchor


def test_what_fails_is_not_kept_although_others_go_on(sharp: Submit, request_for: Request) -> None:
    # The first takes few long turns, so that the other one goes on when it is done.
    sharp("a-fickle", "time.sleep(0.05); x = x * (0.8 if PROCESS == 1 else 1.0)", before=f"import time\n{COUNTED}")
    sharp("b-honest", "x = x * 0.999")
    seen: list[set[str]] = []

    def listener(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress) and (event.process, event.processes) == (2, 2):
            seen.append({m.fingerprint for m in unfinished(request.out)})

    request = request_for(protocol="robust", time_budget_s=1.2, processes=2)
    run(request, listeners=[listener], engine=FailingAnchor())
    assert len(seen[0]) == 2
    assert len(seen[-1]) == 1


def unfinished(folder: Path) -> list[Measurement]:
    return [Measurement.model_validate_json(file.read_bytes()) for file in (folder / "unfinished").glob("*.json")]


def test_networks_that_are_far_from_all_others_and_baselines_get_two_processes(
    sharp: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("far", "near", "other"):
        sharp(name)
    asked: list[tuple[int, int]] = []

    def first_is_settled(
        networks: Sequence[RelativeTimes], known: Sequence[RelativeTimes], unranked: Sequence[RelativeTimes]
    ) -> list[bool]:
        asked.append((len(networks), len(unranked)))
        assert known == []
        return [True, *[False] * (len(networks) - 1)]

    monkeypatch.setattr("harness.run.interleaved.settled", first_is_settled)
    quick = replace(PROTOCOLS["robust"], budget_s=1.2, turn_s=0.02, anchor_turn_s=0.01)
    monkeypatch.setitem(PROTOCOLS, "robust", quick)
    reported: dict[str, tuple[int, int]] = {}

    def listen(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress) and event.stage == "time":
            reported[event.name] = event.process, event.processes

    request = request_for(protocol="robust", time_budget_s=None, with_baselines=True)
    finished = run(request, [listen], engine=InlineEngine())
    processes = {
        name: len({turn.process for turn in read_timing(finished.folder, row.slug).rounds})
        for name, row in by_name(finished).items()
    }
    assert [processes.pop(name) for name in ("far", "near", "other")] == [2, 3, 3]
    assert set(processes.values()) == {2}
    # Baselines only show what processes differ by, and after the last process there is nothing to decide.
    assert asked == [(3, len(processes)), (3, len(processes))]
    assert reported["far"] == reported["Bicubic"] == (2, 2)


def test_baselines_of_an_earlier_group_show_what_processes_differ_by(
    sharp: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharp("early")
    monkeypatch.setitem(PROTOCOLS, "robust", replace(PROTOCOLS["robust"], turn_s=0.02, anchor_turn_s=0.01))
    request = request_for(protocol="robust", time_budget_s=2.0, with_baselines=True)
    baselines = len(by_name(run(request, engine=InlineEngine()))) - 1
    asked: list[tuple[int, int, int]] = []

    def none_is_settled(*sequences: Sequence[RelativeTimes]) -> list[bool]:
        networks, known, unranked = sequences
        asked.append((len(networks), len(known), len(unranked)))
        return [False] * len(networks)

    monkeypatch.setattr("harness.run.interleaved.settled", none_is_settled)
    sharp("late", "x = x * 0.999")
    run(request, engine=InlineEngine())
    assert set(asked) == {(1, 1, baselines)}


def test_one_process_leaves_its_spread_unknown(sharp: Submit, request_for: Request) -> None:
    sharp("one")
    finished = run(request_for(protocol="robust", time_budget_s=0.3), engine=InlineEngine())
    assert finished.run.process_spread is None
    assert finished.run.protocol.processes == 1


@pytest.mark.parametrize(("budget_s", "processes"), [(None, 3), (8.0, 3), (2.5, 2), (1.0, 1), (0.2, 1)])
def test_a_short_budget_is_not_cut_into_pieces(budget_s: float | None, processes: int) -> None:
    assert protocol_for("cpu", budget_s=budget_s).processes == processes


def test_only_a_number_that_was_asked_for_is_fixed() -> None:
    short, asked = protocol_for("cpu", budget_s=2.5), protocol_for("cpu", processes=5)
    assert (short.fewest_processes, asked.fewest_processes) == (2, 5)
    assert protocol_for("cpu", budget_s=0.5).fewest_processes == 1


@pytest.mark.parametrize(("options", "message"), [({"name": "ntire23"}, "one process"), ({}, "in 0 processes")])
def test_a_number_of_processes_that_cannot_be_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        protocol_for("cpu", processes=2 if options else 0, **options)


def test_a_network_that_differs_from_process_to_process_is_disqualified(sharp: Submit, request_for: Request) -> None:
    sharp("honest", "x = x * 0.999")
    sharp("fickle", "x = x * (0.8 if PROCESS == 1 else 1.0)", before=COUNTED)
    rows = by_name(run(request_for(protocol="robust", time_budget_s=0.4, processes=2), engine=InlineEngine()))
    assert rows["fickle"].status == "disqualified"
    assert "in another process" in rows["fickle"].error.message
    assert rows["honest"].status == "ok"


def test_what_fails_in_a_later_process_keeps_the_times_of_the_earlier(sharp: Submit, request_for: Request) -> None:
    sharp("honest")
    broken = COUNTED + "if PROCESS == 1:\n    raise RuntimeError('not twice')\n"
    sharp("once", "x = x * 0.999", before=broken)
    finished = run(request_for(protocol="robust", time_budget_s=0.4, processes=2), engine=InlineEngine())
    rows = by_name(finished)
    assert rows["once"].status == "failed"
    assert "not twice" in rows["once"].error.message
    assert rows["once"].runtime_ms.samples >= 2
    assert rows["honest"].status == "ok"


class AnchorFailsInSecondProcess(FailingAnchor):
    """Lets the anchor fail after its third request beside the second process of ``one``."""

    def open(self, job: Job) -> Session:
        if job.submission.name == "one" and self.opened.count("one") == 1:
            self.anchor_turns = 3
        return super().open(job)


def test_where_the_anchor_fails_later_the_times_so_far_stay(sharp: Submit, request_for: Request) -> None:
    sharp("one")
    request = request_for(protocol="robust", time_budget_s=0.4 * 40, processes=40)
    finished = run(request, engine=AnchorFailsInSecondProcess())
    row = by_name(finished)["one"]
    assert row.status == "ok"
    assert "1 of 40 processes timed, because the harness's anchor network failed" in row.runtime_ms.note
    assert row.runtime_ms.samples >= 2
    assert leaderboard_table(finished.run)


def test_a_network_whose_calls_take_long_stays_in_one_process(sharp: Submit, request_for: Request) -> None:
    sharp("quick")
    sharp("slow", "time.sleep(0.25)", before="import time\n\n")
    engine = FailingAnchor()
    rows = by_name(run(request_for(protocol="robust", time_budget_s=0.6, processes=3), engine=engine))
    assert {row.status for row in rows.values()} == {"ok"}
    assert engine.opened.count("slow") == 1
    assert engine.opened.count("quick") == 3


def test_an_anchor_that_failed_is_not_asked_again(sharp: Submit, request_for: Request) -> None:
    sharp("one")
    sharp("two", "x = x * 0.999")
    engine = FailingAnchor(anchor_turns=3, anchor_turns_later=10**9)
    request = request_for(protocol="robust", time_budget_s=0.3, memory_bytes=1 << 20)  # a group for each
    finished = run(request, engine=engine)
    rows = by_name(finished)
    assert engine.opened == ["one", "two", "anchor", "anchor"] or engine.opened == ["one", "anchor", "two", "anchor"]
    assert "anchor network failed" in rows["one"].runtime_ms.note
    assert rows["two"].runtime_ms.note is None or "failed" not in rows["two"].runtime_ms.note
    assert len(read_timing(finished.folder, "two").anchor) == 16
    assert read_timing(finished.folder, "one").anchor == ""


def test_a_network_of_one_call_is_compared_in_milliseconds(sharp: Submit, request_for: Request) -> None:
    sharp("quick")
    sharp("slow", "time.sleep(0.5)", before="import time\n\n")
    finished = run(request_for(protocol="robust", time_budget_s=0.1), engine=InlineEngine())
    assert read_timing(finished.folder, "slow").rounds == []
    folder = load_run(finished.folder)
    row = next(row for row in compare_models(folder, "slow", folder, "quick").rows if row.figure == "runtime")
    assert row.first > 500.0
    # Seconds would be off by a factor of a thousand, load on the machine is not.
    assert 0.1 < (1 + row.difference.value / 100) / (row.first / row.second) < 10.0


def test_a_network_of_one_call_needs_no_anchor_any_more(
    sharp: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The anchor makes two calls to warm up and one turn; it fails in the turn after that of `quick`.
    monkeypatch.setitem(PROTOCOLS, "robust", replace(PROTOCOLS["robust"], warmup=2))
    sharp("quick")
    sharp("slow", "time.sleep(0.5)", before="import time\n\n")
    finished = run(request_for(protocol="robust", time_budget_s=0.1), engine=FailingAnchor(anchor_turns=3))
    rows = by_name(finished)
    assert "timed alone" in rows["quick"].runtime_ms.note
    assert rows["slow"].runtime_ms.note.startswith("one call")
    assert "anchor" not in rows["slow"].runtime_ms.note
