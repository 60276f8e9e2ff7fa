"""Runs with several places: the same figures as on one, exclusive timing, and nothing lost or done twice."""

import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image
from several import Several, figures, images_of, rows_of

from harness.engines import Engine
from harness.engines.inline import InlineEngine
from harness.engines.this_machine import local_places
from harness.errors import MachineLostError, SubmissionError, UsageError
from harness.machine.quiet import QUIET_HOURS
from harness.pipeline import run
from harness.results import Measurement, TimingRecord, read_run
from harness.results.measurement import RoundTimes
from harness.run import site
from harness.run.context import MeasuredSubmission
from harness.run.device_tables import tables_by_device
from harness.run.interleaved import InterleavedTiming
from harness.run.places import order_places
from harness.run.plan import PlannedSubmission, RunRequest
from harness.run.progress import ProgressEvent, StageProgress, SubmissionFinished
from harness.submissions.submission import BrokenSubmission

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


def stored(folder: Path) -> dict[str, Measurement]:
    found = [Measurement.model_validate_json(one.read_bytes()) for one in folder.glob("measurements/*.json")]
    assert len({one.fingerprint for one in found}) == len(found)
    return {one.fingerprint: one for one in found}


@pytest.fixture
def submitted(submit: Submit, submit_sharp: Submit) -> None:
    for number in range(3):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    submit("raises", "raise ValueError('odd')")
    submit("factory", before="raise OSError('no such library')\n")
    submit("other-scale", scales="[3]")


def spans(folder: Path) -> list[tuple[float, float]]:
    return [one.timing.span for one in stored(folder).values() if one.timing is not None and one.timing.span]


def test_two_devices_give_what_one_gives(submitted: None, request_for: Request, tmp_path: Path) -> None:
    request = request_for(protocol="robust", images="full")
    one = run(request, engine=InlineEngine())
    events: list[ProgressEvent] = []
    two = run(replace(request, out=tmp_path / "two"), [events.append], engine=Several())
    assert figures(two) == figures(one)
    assert images_of(two) == images_of(one)
    shown = sorted(path.relative_to(one.folder) for path in one.folder.glob("crops/**/*.webp"))
    assert shown == sorted(path.relative_to(two.folder) for path in two.folder.glob("crops/**/*.webp"))
    ended = [event.slug for event in events if isinstance(event, SubmissionFinished)]
    assert sorted(ended) == sorted(entry.slug for entry in rows_of(two))
    places = {event.place for event in events if isinstance(event, StageProgress)} - {""}
    assert places == {"one cpu", "two cpu"}


def test_no_two_timings_overlap(submit_sharp: Submit, request_for: Request) -> None:
    for number in range(5):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    finished = run(request_for(protocol="ntire23-cpu"), engine=Several(("", ""), ("card", "card")))
    found = spans(finished.folder)
    assert len(found) == 5
    for (begin, end), (later_begin, later_end) in combinations(sorted(set(found)), 2):
        assert begin < end <= later_begin < later_end


def test_images_are_compared_in_working_hours_only(
    submit: Submit, request_for: Request, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Working hours are those in which no other device of the machine times a network."""
    for path in images.iterdir():  # large enough for a check on parts of them
        Image.open(path).resize((192, 144)).save(path)
    seen, beside = Counter[str](), set[str]()
    places = {
        "harness.run.recall_check": ["degrade", "upscale_bicubic"],
        "harness.run.timed_size_check": ["upscale_bicubic", "check_timed_size"],
        "harness.run.low_quality": ["upscale_bicubic", "evaluate_pair"],
        "harness.data.datasets.Dataset": ["pair"],
    }
    for owner, name in [(owner, name) for owner, names in places.items() for name in names]:
        function = pkgutil.resolve_name(f"{owner}.{name}")

        def watched(*arguments: object, function=function, name=f"{owner}.{name}", **options: object) -> object:  # type: ignore[no-untyped-def]
            if threading.current_thread().name.startswith(("place", "ThreadPool")):
                seen[name] += 1
                at_work = getattr(QUIET_HOURS._depth, "value", 0) or QUIET_HOURS._owner == threading.get_ident()
                beside.update([] if at_work else [name])
            return function(*arguments, **options)

        monkeypatch.setattr(f"{owner}.{name}", watched)
    submit("blurred", output="functional.interpolate(functional.avg_pool2d(x, 4), scale_factor=8.0)")
    (row,) = rows_of(run(request_for(), engine=Several(("", ""))))
    assert (row.status, row.error) == ("ok", None)
    assert len(seen) == sum(map(len, places.values()))
    assert beside == set()


def test_only_devices_of_the_named_model_time(submit_sharp: Submit, request_for: Request) -> None:
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    engine = Several(("one", "two", "three"), ("A", "B", "A"))
    with pytest.raises(UsageError, match=r"devices of 2 models.*: A, B"):
        run(request_for(), engine=engine)
    with pytest.raises(UsageError, match="no device of model 'C'"):
        run(request_for(time_on="C"), engine=engine)
    finished = run(request_for(protocol="robust", time_on="B"), engine=engine)
    assert {one.timing.place for one in stored(finished.folder).values() if one.timing} == {"two cpu"}
    assert finished.run.device.name == "B"


def test_machines_with_other_versions_are_refused() -> None:
    (place,) = local_places("cpu", 1)
    other = replace(place, machine="other", device=place.device.model_copy(update={"torch": "1.0"}))
    with pytest.raises(UsageError, match=r"other cpu has torch 1\.0"):
        order_places([place, other], None)


def test_a_stopped_run_goes_on_where_it_was(submit_sharp: Submit, request_for: Request) -> None:
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")

    def interrupt(event: ProgressEvent) -> None:
        if isinstance(event, SubmissionFinished):
            raise KeyboardInterrupt  # Ctrl-C

    first = run(request_for(), [interrupt], Several())
    assert not first.run.run.complete
    known = stored(first.folder)
    assert 0 < len(known) < 4
    finish(request_for(), known)


def test_a_stop_reaches_all_places_before_their_threads_end(
    submit_sharp: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise Ctrl-C waits until the groups that are being timed end by themselves."""
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    stopped, going_on = [], threading.Event()
    stop = site.stop

    def stop_and_say_so() -> None:
        stop()
        stopped.append(threading.current_thread().name)
        going_on.set()

    def wait_for_stop(*_: object) -> list[object]:
        going_on.wait(60)
        return []

    monkeypatch.setattr("harness.run.site.stop", stop_and_say_so)
    monkeypatch.setattr("harness.run.site.time_group", wait_for_stop)

    def interrupt(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress) and event.place:  # a place has reported, and waits by now or soon
            raise KeyboardInterrupt

    begin = time.monotonic()
    first = run(request_for(), [interrupt], Several())
    assert not first.run.run.complete
    assert len(stopped) == 2
    assert time.monotonic() - begin < 60


def test_networks_of_a_place_are_compared_with_those_that_it_timed_before(
    submit_sharp: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    monkeypatch.setattr("harness.run.dispatcher.MOST_IN_A_GROUP", 1)
    seen: list[list[str | None]] = []
    begin = InterleavedTiming.__init__

    def watched(self, plan, engine, progress, open_anchor, known, save):  # type: ignore[no-untyped-def]
        seen.append([record.place for record, is_ranked in known if is_ranked])
        begin(self, plan, engine, progress, open_anchor, known, save)

    monkeypatch.setattr("harness.run.timing_order.InterleavedTiming.__init__", watched)
    run(request_for(protocol="robust", time_on="B"), engine=Several(("one", "two"), ("A", "B")))
    assert sorted(seen, key=len) == [[], ["two cpu"], ["two cpu"] * 2]


def finish(request: RunRequest, known: dict[str, Measurement]) -> None:
    """Run again, and check that nothing was lost or measured twice."""
    ended: list[SubmissionFinished] = []
    again = run(
        request, [lambda event: ended.append(event) if isinstance(event, SubmissionFinished) else None], Several()
    )
    assert again.run.run.complete
    assert [(entry.status, entry.error) for entry in rows_of(again)] == [("ok", None)] * 4
    assert known.items() <= stored(again.folder).items()
    assert sum(event.reused for event in ended) == len(known)
    assert len(ended) == 4


KILLED = """
import os, signal
from dataclasses import replace
from pathlib import Path
from several import Several
from harness.pipeline import run
from harness.run import plan
from harness.run.plan import PlannedSubmission, RunRequest
from harness.run.progress import SubmissionFinished
from harness.tracks import get_track

plan.track_for_scale = lambda scale: replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))

def kill(event):
    if isinstance(event, SubmissionFinished):
        os.kill(os.getpid(), signal.SIGKILL)

run(eval({request!r}, {{"PosixPath": Path, "RunRequest": RunRequest}}), [kill], Several())
"""


def test_a_killed_controller_goes_on_where_it_was(submit_sharp: Submit, request_for: Request) -> None:
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    request = request_for()
    program = KILLED.format(request=repr(request))
    tests = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=False, capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert request.out is not None
    known = stored(request.out)
    assert len(known) == 1
    finish(request, known)


class Losing(Several):
    """Loses the machine ``two`` in its second task, for good or until it is connected again."""

    def __init__(self, *, for_good: bool) -> None:
        super().__init__()
        self.for_good = for_good
        self.begun = Counter[str]()
        self.connections = Counter[str]()

    def executor(self, machine: str, places: int) -> Executor:
        self.connections[machine] += 1
        if self.connections["two"] > 1 and self.for_good:
            raise MachineLostError("two is gone")
        return LosingExecutor(self, machine)


class LosingExecutor(ThreadPoolExecutor):
    def __init__(self, engine: Losing, machine: str) -> None:
        super().__init__(3)
        self.engine, self.machine = engine, machine

    def submit(self, function, /, *arguments, **options):  # type: ignore[no-untyped-def]
        if function is not site.carry_out:
            return super().submit(function, *arguments, **options)
        self.engine.begun[self.machine] += 1
        if self.machine == "two" and self.engine.begun["two"] == 2:
            lost: Future[object] = Future()
            lost.set_exception(MachineLostError("two is gone"))
            return lost
        return super().submit(function, *arguments, **options)


ODD_CONVERSION = """
import sys
import torch
from torch import nn
from torch.nn import functional

sys.processes_of_it += 1
PROCESS = sys.processes_of_it

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain, self.extra = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(7))

    def fuse(self):
        self.extra = nn.Parameter(torch.zeros({left}))

    def forward(self, x):
        x = x * self.gain + self.extra.sum()
        return 1.1 * functional.interpolate(x, scale_factor=2, mode="bicubic") - 0.1 * functional.interpolate(
            x, scale_factor=2, mode="bilinear")

def srmodel():
    return Net()
"""


@pytest.mark.parametrize(("left", "succeeds"), [("1 + PROCESS % 2", True), ("1 + PROCESS", False)])
def test_images_are_of_the_form_that_was_timed(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch, left: str, succeeds: bool
) -> None:
    """The process that is to upscale converts itself otherwise than the one that was timed; a third one may not."""
    monkeypatch.setattr(sys, "processes_of_it", -1, raising=False)
    folder = submit("odd")
    with (folder / "submission.toml").open("a") as manifest:
        manifest.write('reparameterize = "fuse"\n')
    (folder / "arch.py").write_text(ODD_CONVERSION.format(left=left))
    (row,) = rows_of(run(request_for(), engine=Several()))
    if succeeds:
        assert (row.status, row.error, row.params) == ("ok", None, 2)
        assert row.runtime_ms is not None
        assert row.psnr_rgb is not None
    else:
        assert (row.status, row.error and row.error.type) == ("failed", "OtherForm")


@pytest.mark.parametrize(("engine", "params"), [(InlineEngine(), 3), (Several(), 2)], ids=["one", "several"])
def test_an_added_data_set_is_upscaled_by_one_form_with_the_first(
    submit: Submit, request_for: Request, images: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, params: int
) -> None:
    """With one place the other form is measured from the start; several take the form that was measured."""
    monkeypatch.setattr(sys, "processes_of_it", -1, raising=False)
    folder = submit("odd")
    with (folder / "submission.toml").open("a") as manifest:
        manifest.write('reparameterize = "fuse"\n')
    (folder / "arch.py").write_text(ODD_CONVERSION.format(left="1 + PROCESS % 2"))
    assert run(request_for(), engine=engine).run.entries[0].params == 2
    further = images.parent / "further"
    further.mkdir()
    Image.open(images / "first.png").transpose(Image.Transpose.ROTATE_180).save(further / "turned.png")
    request = request_for(further_datasets=(str(further),))
    (row,) = rows_of(run(request, engine=engine))
    assert (row.status, row.error, row.params) == ("ok", None, params)
    assert set(row.datasets) == {"images", "further"}
    assert row.runtime_ms is not None


@pytest.mark.parametrize("for_good", [True, False])
def test_what_a_lost_machine_was_doing_is_done_again(
    submit_sharp: Submit, request_for: Request, for_good: bool
) -> None:
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    engine = Losing(for_good=for_good)
    ended: list[str] = []
    finished = run(
        request_for(protocol="robust"),
        [lambda event: ended.append(event.slug) if isinstance(event, SubmissionFinished) else None],
        engine,
    )
    assert [(entry.status, entry.psnr_rgb is None) for entry in rows_of(finished)] == [("ok", False)] * 4
    assert sorted(ended) == [f"sharp{number}" for number in range(4)]
    assert (engine.begun["two"] > 2) != for_good


def test_a_run_whose_last_timing_machine_is_lost_says_so(submit_sharp: Submit, request_for: Request) -> None:
    for number in range(3):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    engine = Losing(for_good=True)
    engine.names, engine.models = ("one", "two"), ("B", "A")
    with pytest.raises(MachineLostError, match=r"no place is left.*start the machines again"):
        run(request_for(time_on="A"), engine=engine)


def timed_on(place: str, anchor_ms: float, number: int) -> MeasuredSubmission:
    """Return a network that was timed on a device where the anchor takes so long."""
    rounds = [RoundTimes(number=i, calls=1, anchor_ms=(anchor_ms * (1 + 1e-4 * (i % 5)), anchor_ms)) for i in range(12)]
    samples = [(float(i), 2 * anchor_ms) for i in range(12)]
    timing = TimingRecord(
        clock="clock", samples=samples, rounds=rounds, session=place, anchor=f"{place}-{number}", place=place
    )
    found = BrokenSubmission(f"n{number}", Path(), SubmissionError("unused"), f"n{number}")
    measurement = Measurement.empty(f"f{number}").model_copy(update={"timing": timing})
    return MeasuredSubmission(PlannedSubmission(found, f"f{number}"), measurement)


def test_devices_whose_anchors_disagree_have_tables_of_their_own() -> None:
    (table,) = tables_by_device([timed_on(f"m{number % 2}", 1.0, number) for number in range(5)])
    assert len(table.measured) == 5
    assert table.warnings == ()
    failed = MeasuredSubmission(timed_on("m1", 2.0, 9).planned, Measurement.empty("f9"))
    rows = [timed_on(f"m{number % 2}", 1.0 + number % 2, number) for number in range(5)]
    own, other = tables_by_device([*rows, failed])
    assert [one.planned.submission.slug for one in own.measured] == ["n0", "n2", "n4", "n9"]
    assert [one.planned.submission.slug for one in other.measured] == ["n1", "n3"]
    assert other.folder == "tables/m1"
    (warning,) = own.warnings
    assert "2 network(s) were timed on m1" in warning


def test_times_of_a_start_with_one_device_have_a_table_with_a_name() -> None:
    rows = [*(timed_on("m1", 1.0, number) for number in range(3)), timed_on("", 2.0, 4)]
    own, other = tables_by_device(rows)
    assert other.folder == "tables/the-device-of-an-earlier-start"
    assert [one.planned.submission.slug for one in other.measured] == ["n4"]
    assert "1 network(s) were timed on the device of an earlier start, where" in own.warnings[0]


def test_each_table_is_a_table_of_a_run(
    submit_sharp: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 10000}")
    monkeypatch.setattr(
        "harness.run.device_tables.agreeing", lambda intervals: [[place] for place in sorted(intervals)]
    )
    finished = run(request_for(protocol="robust"), engine=Several())
    (other,) = (finished.folder / "tables").iterdir()
    ranked = [[(entry.name, entry.rank) for entry in table.entries] for table in (finished.run, read_run(other))]
    assert sorted(ranked) == [[("sharp0", 1)], [("sharp1", 1)]]
    assert (other / "leaderboard.html").is_file()
    assert any("are ranked in tables/" in warning for warning in finished.run.warnings)
