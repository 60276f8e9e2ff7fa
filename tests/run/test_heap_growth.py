"""Heaps of workers grow by what their calls need, as far as memory allows, and never delay the end of a run."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engines.this_machine import ThisMachine
from harness.errors import WorkerError
from harness.isolation.job import Job
from harness.isolation.limits import Limits
from harness.isolation.messages import Message
from harness.isolation.opening import load_request
from harness.isolation.session import Session
from harness.pipeline import run
from harness.run import submission_worker
from harness.run.memory import heap_bytes
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, StageProgress
from harness.run.submission_worker import SubmissionWorker
from harness.submissions.discovery import discover
from harness.submissions.skeleton import create
from tests.strangers import ScriptedExchange, base_plan

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]
GIB = 1 << 30


class GrowingExchange(ScriptedExchange):
    """Notes by how much heaps are asked to grow."""

    def __init__(self) -> None:
        super().__init__(None)
        self.grown: list[int] = []

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        if message.name == "grow_heap":
            self.grown.append(message.body["size_bytes"])
        return super().request(message, timeout_s, max_payload)


def worker_of(tmp_path: Path, exchange: ScriptedExchange) -> SubmissionWorker:
    (submission,) = discover([create("one", tmp_path)], entry_points=False)
    plan = base_plan(tmp_path / "plan", "robust")
    worker = SubmissionWorker(plan, submission, tmp_path / "log")
    worker.session = Session(exchange, load_request(worker.job()), 60.0)
    return worker


@pytest.mark.parametrize(
    ("peak", "grown"),
    [
        (100 << 20, 2.2 * (100 << 20)),  # one more block of each of the largest
        (4 * GIB, 1.3 * 4 * GIB + 0.75 * GIB),
        (None, None),
    ],
)
def test_a_heap_grows_by_more_than_the_peak(tmp_path: Path, peak: int | None, grown: float | None) -> None:
    exchange = GrowingExchange()
    worker = worker_of(tmp_path, exchange)
    worker.grow_heap(peak)
    assert exchange.grown == ([] if grown is None else [pytest.approx(grown, rel=1e-6)])
    assert worker.heap_has_grown == (grown is not None)


def test_no_heap_grows_by_half_of_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission_worker, "default_limits", lambda _: Limits(memory_bytes=4 * GIB))
    exchange = GrowingExchange()
    worker = worker_of(tmp_path, exchange)
    worker.grow_heap(GIB)  # by 2.05 GiB
    assert exchange.grown == []
    assert not worker.heap_has_grown


class ScriptedEngine(ThisMachine):
    """Opens sessions with workers that are scripted."""

    name = "scripted"

    def __init__(self, make_exchange: Callable[[], ScriptedExchange]) -> None:
        self._make_exchange = make_exchange
        self.opened: list[ScriptedExchange] = []

    def open(self, job: Job) -> Session:
        self.opened.append(self._make_exchange())
        return Session(self.opened[-1], load_request(job), job.timeout_s)


@pytest.mark.parametrize(("memory_gib", "with_heaps"), [(64, 3), (4, 3), (2, 0)])
def test_heaps_of_a_group_fit_into_the_memory_of_the_run(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch, memory_gib: int, with_heaps: int
) -> None:
    monkeypatch.setattr(Session, "memory", lambda *_: GIB)
    for name in "abc":
        submit(f"{name}-network", f"x = x * 0.99{ord(name)}")
    engine = ScriptedEngine(GrowingExchange)
    run(replace(request_for(protocol="robust"), memory_bytes=memory_gib * GIB), [], engine)
    assert [heap_bytes(GIB)] * with_heaps == [size for exchange in engine.opened for size in exchange.grown]


class HangingExchange(ScriptedExchange):
    """Does not answer while its heap grows, until its worker is closed."""

    def __init__(self, started: threading.Event) -> None:
        super().__init__(None)
        self.started, self.closed = started, threading.Event()

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        if message.name == "grow_heap":
            self.started.set()
            assert self.closed.wait(60)
            raise WorkerError("has ended", stage="time", kind="Crash")
        return super().request(message, timeout_s, max_payload)

    def close(self) -> None:
        self.closed.set()


def test_an_interrupt_while_a_heap_grows_ends_the_run_at_once(submit: Submit, request_for: Request) -> None:
    submit("a-first")
    submit("b-second", "x = x * 0.999")
    started, before = threading.Event(), threading.active_count()
    engine = ScriptedEngine(lambda: HangingExchange(started))

    def interrupt(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress) and (event.slug, event.stage) == ("b-second", "load"):
            assert started.wait(60)
            raise KeyboardInterrupt

    begin = time.monotonic()
    finished = run(replace(request_for(protocol="robust"), memory_bytes=1 << 40), [interrupt], engine)
    assert time.monotonic() - begin < 30
    assert not finished.run.run.complete
    assert all(exchange.closed.is_set() for exchange in engine.opened)
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
