"""What is judged by times and images: honest networks on a restless machine pass, cheats do not."""

import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from harness.errors import WorkerError
from harness.timing import FrameSource
from harness.timing.checks import (
    Request,
    check_clocks,
    check_marks,
    check_noise,
    check_processor_time,
    check_seen_frame,
    check_timed_size,
    find_unreported_time,
    unreported_ms,
)
from harness.timing.confirmation import CallTime
from harness.timing.idle_check import check_idle, seem_busy
from harness.worker.tampering import TamperDetector


def restless(typical_ms: float, rng: np.random.Generator) -> float:
    """Return a time on a machine that is several times slower in half of the calls."""
    return typical_ms * (1.0 + rng.random() * 0.05 + (rng.random() < 0.5) * rng.uniform(0.5, 6.0))


@pytest.mark.parametrize("check", [check_seen_frame, check_noise])
@pytest.mark.parametrize("ms", [5.0, 50.0, 500.0])
def test_no_honest_network_is_flagged_on_a_restless_machine(check: Callable[..., None], ms: float) -> None:
    rng = np.random.default_rng(0)
    suspected = 0

    def again() -> tuple[CallTime, CallTime]:
        nonlocal suspected
        suspected += 1
        return CallTime(restless(ms, rng)), CallTime(restless(ms, rng))

    for _ in range(500):
        check(restless(ms, rng), [restless(ms, rng) for _ in range(20)], again)
    assert suspected > 100  # the first look alone would have been wrong so often


@pytest.mark.parametrize(("check", "reason"), [(check_seen_frame, "results are kept"), (check_noise, "tells noise")])
def test_what_is_much_faster_again_and_again_is_disqualified(check: Callable[..., None], reason: str) -> None:
    rng = np.random.default_rng(0)

    def fast() -> CallTime:
        return CallTime(restless(0.1, rng), 1.0)

    def slow() -> CallTime:
        return CallTime(restless(20.0, rng), 21.0)

    for _ in range(200):
        with pytest.raises(WorkerError, match=reason) as caught:
            check(
                0.1,
                [restless(20.0, rng) for _ in range(20)],
                lambda: (CallTime(restless(0.1, rng), 1.0), CallTime(restless(20.0, rng), 21.0)),
            )
        assert caught.value.kind == "Disqualified"


def test_a_frame_that_was_given_before_by_chance_does_not_hide_a_cache() -> None:
    with pytest.raises(WorkerError, match="results are kept"):
        check_seen_frame(0.1, [100.0] * 19 + [0.1], lambda: (CallTime(0.1), CallTime(100.0)))


def test_time_that_was_spent_waiting_for_the_processor_is_no_work() -> None:
    check_noise(4.7, [17.4] * 9, lambda: (CallTime(4.7, 6.0), CallTime(17.4, 6.1)))
    with pytest.raises(WorkerError, match="tells noise"):
        check_noise(4.7, [17.4] * 9, lambda: (CallTime(4.7, 6.0), CallTime(17.4, 18.0)))


def test_differences_of_a_millisecond_prove_nothing() -> None:
    check_seen_frame(0.1, [1.5] * 5, lambda: pytest.fail("not suspicious"))


def images(timed: Callable[[np.ndarray], np.ndarray], count: int) -> Iterator[tuple[np.ndarray, ...]]:
    for index in range(count):
        truth = np.random.default_rng(index).integers(20, 235, (80, 96, 3), dtype=np.uint8)
        scored = truth + np.uint8(4)
        yield scored, timed(scored), truth


def test_a_network_that_is_worse_at_the_timed_size_in_every_image_is_disqualified() -> None:
    with pytest.raises(WorkerError, match="at the timed size"):
        check_timed_size(images(lambda image: image + np.uint8(1), 3))


def test_one_image_that_is_as_good_at_the_timed_size_ends_the_suspicion() -> None:
    worse = iter([1, 0])  # the third image is not asked for
    check_timed_size(images(lambda image: image + np.uint8(next(worse)), 3))
    assert list(worse) == []


def test_rounding_and_borders_are_not_held_against_a_network() -> None:
    def rounded(image: np.ndarray) -> np.ndarray:
        other = image ^ np.uint8(1)
        other[:16] = 0  # another border: what lies around the image differs
        return other

    check_timed_size(images(rounded, 1))
    check_timed_size(iter(()))


@dataclass
class Idler:
    """A worker that keeps so many cores busy in each of two looks; None if its time is unknown."""

    looks: list[float | None]
    used_s: float = 0.0
    now_s: float = 0.0
    runs: bool = False

    def clock(self) -> float:
        return self.now_s

    def let_run(self) -> bool:
        self.runs = True
        return self.looks[0] is not None

    def sleep(self, seconds: float) -> None:
        assert self.runs
        self.used_s += seconds * (self.looks[0] or 0.0)
        self.now_s += seconds

    def cpu_s(self) -> float:
        return self.used_s

    def pause(self) -> None:
        if self.runs:
            self.looks.pop(0)
        self.runs = False


@pytest.mark.parametrize("looks", [[0.0], [None], [0.9, 0.0], [0.9, None]])
def test_what_is_idle_in_one_measurement_is_idle(looks: list[float | None]) -> None:
    idler = Idler(looks)
    check_idle(idler, idler.clock, idler.sleep)
    assert idler.looks == []


def test_what_is_busy_in_both_measurements_is_disqualified() -> None:
    idler = Idler([0.5, 0.2])
    with pytest.raises(WorkerError, match=r"keeps 0\.2 core"):
        check_idle(idler, idler.clock, idler.sleep)


def test_several_workers_are_looked_at_at_once() -> None:
    idlers = [Idler([0.0]), Idler([0.9]), Idler([None])]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        for idler in idlers:
            idler.sleep(seconds)

    assert seem_busy(idlers, idlers[0].clock, sleep) == [False, True, False]
    assert seem_busy([]) == []
    assert len(waits) == 2
    assert not any(idler.runs for idler in idlers)


def test_processor_time_is_bounded_by_threads_and_wall_time() -> None:
    check_processor_time(2.0, 2.0, 1)
    check_processor_time(4.2, 2.0, 2)
    check_processor_time(40.0, 2.0, None)
    with pytest.raises(WorkerError, match="spins on other cores"):
        check_processor_time(4.0, 2.0, 1)


def test_a_clock_is_forged_where_most_requests_leave_time_unexplained() -> None:
    trusted = [Request(4, 40.0, 48.0)] * 3
    forged, honest = [Request(4, 10.0, 400.0)] * 3, [Request(4, 400.0, 408.0)] * 3
    assert find_unreported_time(forged, trusted) is not None
    assert find_unreported_time([*forged, *honest[:2]], trusted) is not None
    assert find_unreported_time([*forged, *honest], trusted) is None  # a busy machine delays some
    assert find_unreported_time(forged[:2], trusted) is None  # too few to tell
    assert find_unreported_time(forged[:1], trusted, min_requests=1) is not None
    late = [replace(request, delay_ms=request.wall_ms - request.reported_ms - 8.0) for request in forged]
    assert find_unreported_time(late, trusted) is None  # other programs ran meanwhile
    with pytest.raises(WorkerError, match="controller's clock saw"):
        check_clocks(forged, trusted)


def test_honest_clocks_while_nothing_is_scored_clear_nobody() -> None:
    trusted = [Request(4, 40.0, 48.0)] * 3
    warming = [Request(1, 100.0, 102.0, is_scored=False)] * 12
    with pytest.raises(WorkerError, match="controller's clock saw"):
        check_clocks([*warming, *[Request(4, 10.0, 400.0)] * 3], trusted)
    check_clocks([*warming, *[Request(4, 400.0, 408.0)] * 3], trusted)


def marked(calls: int, ms: float, reported: float, delays: dict[int, float]) -> Request:
    """Return a request whose calls took `ms`, of which a share is reported; some marks are `delays` ms too early."""
    seen = [ms + 0.02 + delays.get(call, 0.0) for call in range(calls)]
    told = [ms * reported] * calls
    return Request(calls, sum(told), sum(seen) + 50.0, unreported_ms=unreported_ms(told, seen))


def test_times_must_agree_with_their_marks_within_five_percent_and_two_milliseconds() -> None:
    check_marks([marked(20, 5.0, 1.0, {})] * 10)
    check_marks([marked(20, 5.0, 0.94, {})] * 10)  # 6.4 ms are missing, allowed are 7.02 ms
    with pytest.raises(WorkerError, match=r"controller's clock saw 10\.4 ms more"):
        check_marks([marked(20, 5.0, 0.9, {})] * 10)
    check_marks([marked(1, 1.0, 0.1, {})] * 10)  # 0.9 ms
    with pytest.raises(WorkerError, match="controller's clock"):
        check_marks([marked(1, 3000.0, 0.9, {})])
    check_marks([])
    check_marks([Request(4, 40.0, 400.0)] * 10)  # no marks on this system


def test_a_worker_that_is_interrupted_between_mark_and_clock_forges_nothing() -> None:
    check_marks([marked(50, 2.0, 1.0, {7: 80.0, 8: 80.0})] * 10)  # a few calls of a request
    quiet, late = marked(1, 100.0, 1.0, {}), marked(1, 100.0, 1.0, {0: 60.0})
    check_marks([*[quiet] * 12, *[late] * 12])  # half of the requests
    check_marks([quiet, late])
    with pytest.raises(WorkerError, match="in 13 of 25 requests"):
        check_marks([*[quiet] * 12, *[late] * 13])


def test_what_belongs_to_a_request_is_not_held_against_a_network_of_one_call() -> None:
    trusted = [Request(20, 100.0, 200.0)] * 5  # 100 ms beside its twenty calls, however many they are
    assert find_unreported_time([Request(1, 650.0, 650.0 + 150.0)] * 4, trusted) is None
    assert find_unreported_time([Request(1, 650.0, 650.0 + 500.0)] * 4, trusted) is not None


def test_what_was_replaced_before_the_detector_began_is_not_disqualified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    watch = TamperDetector()
    assert watch.replaced() == []
    monkeypatch.setattr(random, "random", lambda: 0.5)
    monkeypatch.setattr("torch.accelerator.synchronize", lambda *_: None)
    monkeypatch.setattr("torch.Tensor.isfinite", lambda _: True)
    assert watch.replaced() == ["random.random", "torch.Tensor.isfinite", "torch.accelerator.synchronize"]


def test_a_handler_of_a_signal_watches_the_harness() -> None:
    watch = TamperDetector()
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        assert watch.watching() == ["a handler of SIGUSR2"]
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert watch.watching() == []


def test_no_two_frames_are_the_same_whatever_the_symmetry_of_the_image() -> None:
    source = FrameSource([np.full((16, 16, 3), 128, np.uint8)], np.random.default_rng(0))
    frames = [source.fresh() for _ in range(200)]
    assert len({frame.tobytes() for frame in frames}) == 200
    assert {frame.mean().round() for frame in frames} > {115.0, 120.0, 125.0}  # darker by up to 12 %
