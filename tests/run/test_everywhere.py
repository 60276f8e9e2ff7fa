"""Runs with several places: the same figures as on one, exclusive timing, and nothing lost or done twice."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.engines.this_machine import LocalPlace, local_places
from harness.errors import UsageError
from harness.isolation.session import Session
from harness.pipeline import FinishedRun, run
from harness.results import Measurement
from harness.run.places import order_places
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, StageProgress, SubmissionFinished

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


class Several(InlineEngine):
    """Several devices of this machine, which are all its processor."""

    def __init__(self, names: Sequence[str] = ("one", "two"), models: Sequence[str] = ("card", "card")) -> None:
        self.names, self.models = names, models

    def devices(self, wanted: str, threads: int | None) -> list[LocalPlace]:
        (place,) = local_places("cpu", threads)
        return [
            replace(place, machine=name, device=place.device.model_copy(update={"name": model}))
            for name, model in zip(self.names, self.models, strict=True)
        ]


def stored(folder: Path) -> dict[str, Measurement]:
    found = [Measurement.model_validate_json(one.read_bytes()) for one in folder.glob("measurements/*.json")]
    assert len({one.fingerprint for one in found}) == len(found)
    return {one.fingerprint: one for one in found}


def figures(finished: FinishedRun) -> dict[str, tuple[object, ...]]:
    return {
        entry.name: (
            *(entry.status, entry.params, entry.macs, entry.activations, entry.psnr_rgb, entry.psnr_y, entry.ssim_rgb),
            *(entry.ssim_y, entry.reparam, entry.error and (entry.error.stage, entry.error.type)),
        )
        for entry in finished.run.entries
    }


@pytest.fixture
def submitted(submit: Submit, submit_sharp: Submit) -> None:
    for number in range(3):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    submit("raises", "raise ValueError('odd')")
    submit("factory", before="raise OSError('no such library')\n")
    submit("other-scale", scales="[3]")


def spans(folder: Path) -> list[tuple[float, float]]:
    return [one.timing.span for one in stored(folder).values() if one.timing is not None and one.timing.span]


@pytest.mark.parametrize("protocol", ["robust", "ntire23-cpu"])
def test_two_devices_give_what_one_gives(submitted: None, request_for: Request, protocol: str, tmp_path: Path) -> None:
    request = request_for(protocol=protocol, images="full")
    one = run(request, engine=InlineEngine())
    events: list[ProgressEvent] = []
    two = run(replace(request, out=tmp_path / "two"), [events.append], engine=Several())
    assert figures(two) == figures(one)
    assert (one.folder / "per_image.csv").read_text() == (two.folder / "per_image.csv").read_text()
    shown = sorted(path.relative_to(one.folder) for path in one.folder.glob("crops/**/*.webp"))
    assert shown == sorted(path.relative_to(two.folder) for path in two.folder.glob("crops/**/*.webp"))
    ended = [event.slug for event in events if isinstance(event, SubmissionFinished)]
    assert sorted(ended) == sorted(entry.slug for entry in two.run.entries)
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


def test_only_devices_of_the_named_model_time(submit_sharp: Submit, request_for: Request) -> None:
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    engine = Several(("one", "two", "three"), ("A", "B", "A"))
    with pytest.raises(UsageError, match="devices of 2 models.*: A, B"):
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


class Interrupting(Several):
    """Stops the run, as Ctrl-C does, when a number of sessions has been opened."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.opened: list[str] = []

    def open(self, job: Job) -> Session:
        self.opened.append(job.submission.root.name)
        return super().open(job)

    def listen(self, event: ProgressEvent) -> None:
        if len(self.opened) > self.after and isinstance(event, SubmissionFinished):
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_where_it_was(submit_sharp: Submit, request_for: Request, tmp_path: Path) -> None:
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    engine = Interrupting(after=0)
    first = run(request_for(), [engine.listen], engine)
    assert not first.run.run.complete
    known = stored(first.folder)
    assert 0 < len(known) < 4
    second = run(request_for(), engine=Several())
    assert second.run.run.complete
    assert [entry.status for entry in second.run.entries] == ["ok"] * 4
    assert known.items() <= stored(second.folder).items()
