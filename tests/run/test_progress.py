"""The progress of a run: what its events say of the work, the share that is done, and the time that is left."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product
from pathlib import Path

import pytest
from failing_anchor import FailingAnchor

from harness.engines import Engine
from harness.engines.inline import InlineEngine
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.pipeline import run
from harness.results import Measurement
from harness.results.progress import read_progress
from harness.run.plan import RunRequest
from harness.run.progress import Progress, ProgressEvent, RunFinished, RunStarted, StageProgress, SubmissionFinished
from harness.run.time_only import time_submission

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]

OK = Measurement(fingerprint="f", created="2026-01-01T00:00:00+00:00", status="ok")


class Recorder:
    """Listener that keeps all events."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def __call__(self, event: ProgressEvent) -> None:
        self.events.append(event)

    @property
    def stages(self) -> list[StageProgress]:
        return [event for event in self.events if isinstance(event, StageProgress)]

    @property
    def finished(self) -> list[SubmissionFinished]:
        return [event for event in self.events if isinstance(event, SubmissionFinished)]

    @property
    def shares(self) -> list[float]:
        return [event.share for event in self.events if isinstance(event, StageProgress | SubmissionFinished)]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ScriptedEngine(FailingAnchor):
    """Notes which network answers each request, and what the last event was then."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.answered: list[tuple[str, str, StageProgress]] = []

    def open(self, job) -> Session:  # type: ignore[no-untyped-def]
        session = super().open(job)
        answer, slug = session.exchange.request, job.submission.slug

        def request(message: Message, timeout_s: float, max_payload: int) -> Message:
            last = self.recorder.stages[-1]
            self.answered.append((slug, message.name, last))
            return answer(message, timeout_s, max_payload)

        session.exchange.request = request
        return session


def assert_rises(shares: list[float]) -> None:
    assert all(first <= second for first, second in pairwise(shares))
    assert all(0 <= share < 1 for share in shares)


def run_with(request: RunRequest, engine: Engine | None = None) -> Recorder:
    recorder = Recorder()
    run(request, [recorder], engine or InlineEngine())
    return recorder


def test_the_share_of_a_run_in_three_processes_rises_and_stays_below_one_until_the_end(
    submit: Submit, request_for: Request
) -> None:
    submit("one")
    submit("two", "x = x * 0.9")
    recorder = run_with(request_for(protocol="robust", time_budget_s=1.5, processes=3))
    assert_rises(recorder.shares)
    assert recorder.shares[-1] > 0.8
    assert isinstance(recorder.events[0], RunStarted)
    assert isinstance(recorder.events[-1], RunFinished)
    timed = [event for event in recorder.stages if event.stage == "time"]
    assert {event.processes for event in timed} == {3}
    for slug in ("one", "two"):
        assert sorted({event.process for event in timed if event.slug == slug}) == [1, 2, 3]
    assert [event.process for event in timed] == sorted(event.process for event in timed)
    # Nothing is finished after the first process, nor after the third.
    ends = [max(event.share for event in timed if event.process == process) for process in (1, 2, 3)]
    assert ends[0] < ends[1] < ends[2] < 1
    upscaled = [event for event in recorder.stages if event.stage == "upscale"]
    assert min(event.share for event in upscaled) >= ends[2]


def test_the_event_names_the_network_that_is_at_work(submit: Submit, request_for: Request) -> None:
    submit("one")
    submit("two", "x = x * 0.9")
    recorder = Recorder()
    engine = ScriptedEngine(recorder)
    run(request_for(protocol="robust", time_budget_s=1.0, processes=2), [recorder], engine)
    # The heap of a worker grows while the next networks are prepared.
    announced = [(slug, last.slug) for slug, name, last in engine.answered if name != "grow_heap"]
    of_submissions = [(slug, named) for slug, named in announced if slug in {"one", "two"}]
    assert of_submissions
    assert [named for _, named in of_submissions] == [slug for slug, _ in of_submissions]
    numbers = {(event.slug, event.name, event.number) for event in recorder.stages if event.slug}
    assert numbers == {("one", "one", 1), ("two", "two", 2)}


def test_every_event_of_a_run_has_the_time_left(submit: Submit, request_for: Request) -> None:
    submit("one")
    recorder = run_with(request_for(protocol="robust", time_budget_s=0.5))
    assert all(event.seconds_left is not None and event.seconds_left > 0 for event in recorder.stages)


@pytest.mark.parametrize("protocol", ["ntire23-cpu", "esr"])
def test_networks_that_are_timed_alone_have_one_process(submit: Submit, request_for: Request, protocol: str) -> None:
    submit("one")
    submit("two", "x = x * 0.9")
    recorder = run_with(request_for(protocol=protocol, time_budget_s=0.2 if protocol != "esr" else None))
    assert_rises(recorder.shares)
    assert {(event.process, event.processes) for event in recorder.stages} == {(1, 1)}


def test_a_run_of_failures_and_refusals_rises_too(submit: Submit, request_for: Request) -> None:
    submit("a", "raise ValueError('no')")
    submit("b", scales="[3]")
    submit("c")
    recorder = run_with(request_for(protocol="robust", time_budget_s=0.3))
    assert [event.measurement.status for event in recorder.finished if event.slug != "c"] == ["failed", "unsupported"]
    assert_rises(recorder.shares)


def test_submissions_of_an_earlier_run_take_no_time(submit: Submit, request_for: Request) -> None:
    submit("one")
    submit("two", "x = x * 0.9")
    run_with(request_for())
    recorder = run_with(request_for())
    assert [(event.slug, event.reused) for event in recorder.finished] == [("one", True), ("two", True)]
    assert recorder.stages == []
    assert recorder.finished[-1].seconds_left == pytest.approx(1.0)
    assert_rises(recorder.shares)


def test_progress_is_told_where_only_times_are_measured(submit: Submit, request_for: Request) -> None:
    recorder = Recorder()
    request = request_for(submissions=(submit("one"),), protocol="robust", time_budget_s=0.6, processes=2)
    time_submission(request, [recorder], InlineEngine())
    assert_rises(recorder.shares)
    assert recorder.events[0] == RunStarted(1, 0)
    assert {event.process for event in recorder.stages if event.stage == "time"} == {1, 2}


def test_the_folder_of_a_run_has_its_state_while_it_goes_on(submit: Submit, request_for: Request) -> None:
    submit("one")
    request = request_for(protocol="robust", time_budget_s=0.3)
    seen: list[tuple[str, int]] = []

    def look(event: ProgressEvent) -> None:
        state = read_progress(request.out)
        if isinstance(event, StageProgress) and state is not None:
            seen.append((state.name, state.total))

    run(request, [look], InlineEngine())
    assert ("one", 1) in seen
    assert read_progress(request.out) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_a_listener_raises_is_not_swallowed(
    submit: Submit, request_for: Request, error: type[BaseException]
) -> None:
    submit("one")

    def listener(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress):
            raise error

    request = request_for()
    if error is KeyboardInterrupt:
        assert not run(request, [listener], InlineEngine()).run.run.complete
    else:
        with pytest.raises(error):
            run(request, [listener], InlineEngine())
    assert read_progress(request.out) is None


def scripted_steps(slugs: list[str], progress: Progress) -> Iterator[tuple[Callable[[], None], float]]:
    """Yield what a run in three processes reports, and the seconds that each step takes."""
    for slug, stage in product(slugs, ("start", "load", "reparameterize", "count")):
        yield partial(progress.stage, slug, stage), 5.0
    for process in range(3):
        for slug in slugs if process else []:
            yield partial(progress.timing, slug, process, 3, 0.0), 6.0
        for step, slug in product(range(8), slugs):
            yield partial(progress.timing, slug, process, 3, step / 8), 0.5
    for slug in slugs:
        for image in range(10):
            yield partial(progress.stage, slug, "upscale", f"image {image}", done=image / 10), 1.5
        yield partial(progress.finish, slug, OK, reused=False), 0.0


def test_the_estimate_is_near_the_truth_from_the_first_minute_on() -> None:
    recorder, clock = Recorder(), Clock()
    progress = Progress([recorder], clock)
    slugs = [f"n{number:02}" for number in range(12)]
    told: list[tuple[float, StageProgress]] = []
    progress.start([(slug, slug) for slug in slugs], 10, 12.0, 3)
    for report, seconds in scripted_steps(slugs, progress):
        report()
        told.append((clock.now, recorder.stages[-1]))
        clock.now += seconds
    assert_rises(recorder.shares)
    assert recorder.shares[-1] > 0.98
    after_a_minute = [(now, event) for now, event in told if now >= 60]
    assert len(after_a_minute) > 400
    for now, event in after_a_minute:
        assert event.seconds_left == pytest.approx(clock.now - now, rel=0.3, abs=6.0)
        assert event.share == pytest.approx(now / clock.now, abs=0.12)


def test_waiting_for_the_device_is_no_work() -> None:
    recorder, clock = Recorder(), Clock()
    progress = Progress([recorder], clock)
    progress.start([("a", "a")], 2, 8.0)
    progress.stage("", "wait", "for another run on this device")
    clock.now = 1000.0
    progress.stage("a", "start")
    waiting, started = recorder.stages
    assert (waiting.name, waiting.number, waiting.seconds_left) == ("", 0, None)
    assert (started.share, started.process, started.processes) == (0.0, 1, 1)
    assert started.seconds_left is not None
    assert started.seconds_left < 60


def test_a_submission_that_is_loaded_once_more_does_not_lower_the_share() -> None:
    recorder, clock = Recorder(), Clock()
    progress = Progress([recorder], clock)
    progress.start([("a", "a"), ("b", "b")], 2, 8.0)
    for slug, stage in [("a", "start"), ("b", "start"), ("a", "count"), ("b", "count"), ("a", "start"), ("a", "count")]:
        clock.now += 5.0
        progress.stage(slug, stage)
    progress.finish("b", OK, reused=False)
    clock.now += 300.0
    progress.stage("a", "count")
    progress.timing("a", 0, 3, 0.5)
    progress.stage("a", "upscale", done=0.5)
    progress.stage("a", "upscale", done=0.0)  # once more in float32
    progress.finish("a", OK, reused=False)
    assert_rises(recorder.shares)
