"""The timing loop, driven by a clock whose readings are scripted."""

import gc
from collections.abc import Callable, Iterator
from itertools import pairwise, repeat

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.timing import frame_of_call
from harness.timing.frames import Variation
from harness.worker.clock import HostClock, Reading
from harness.worker.measure import Sampling, fresh_frames, repeated_frame, time_forward


class ScriptedClock:
    """Runs the call and reports the next scripted time."""

    name = "scripted"

    def __init__(self, milliseconds: Iterator[float]) -> None:
        self.milliseconds = milliseconds
        self.calls = 0

    def time(self, call: Callable[[], Tensor]) -> Reading:
        self.calls += 1
        ms = next(self.milliseconds)
        return Reading(ms, ms, call())


def nothing(_: Tensor) -> None:
    """Accept any output."""


FRAME = torch.zeros(1, 3, 4, 4)


def test_without_a_budget_the_protocol_decides_the_number_of_calls() -> None:
    clock = ScriptedClock(iter([*[100.0] * 50, *[float(i) for i in range(244)]]))
    timing = time_forward(lambda x: x, repeated_frame(FRAME), clock, Sampling(50, 244, 244, None), nothing)
    assert clock.calls == 294
    assert [sample.ms for sample in timing.samples] == [float(i) for i in range(244)]
    assert len(timing.warmup) == 50
    assert timing.note is None


def test_a_call_that_outlasts_the_budget_is_the_only_sample_and_is_marked() -> None:
    clock = ScriptedClock(repeat(60_000.0))
    timing = time_forward(lambda x: x, repeated_frame(FRAME), clock, Sampling(3, 244, 3, 8.0), nothing)
    assert clock.calls == 1
    assert [sample.ms for sample in timing.samples] == [60_000.0]
    assert timing.note is not None
    assert "one call" in timing.note


def test_a_spent_budget_still_gives_the_least_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("harness.worker.measure.time.monotonic", lambda: now[0])

    def forward(x: Tensor) -> Tensor:
        now[0] += 5.0
        return x

    clock = ScriptedClock(repeat(5_000.0))
    timing = time_forward(forward, repeated_frame(FRAME), clock, Sampling(3, 244, 3, 8.0), nothing)
    assert len(timing.warmup) == 1  # five of eight seconds: more than the share for warming up
    assert len(timing.samples) == 3
    assert [sample.at_s for sample in timing.samples] == [5.0, 10.0, 15.0]


def test_every_output_is_checked() -> None:
    seen: list[Tensor] = []
    clock = ScriptedClock(repeat(1.0))
    time_forward(lambda x: x + 1, repeated_frame(FRAME), clock, Sampling(2, 5, 5, None), seen.append)
    assert len(seen) == 7


def test_a_failed_check_ends_the_timing() -> None:
    def refuse(_: Tensor) -> None:
        raise ValueError("not an image")

    with pytest.raises(ValueError, match="not an image"):
        time_forward(lambda x: x, repeated_frame(FRAME), HostClock(), Sampling(1, 1, 1, None), refuse)


def levels(seed: int, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_levels(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def test_no_two_fresh_frames_are_the_same() -> None:
    frames = fresh_frames([as_levels(levels(i)) for i in range(3)], [])
    first = [next(frames).clone() for _ in range(12)]
    assert len({frame.numpy().tobytes() for frame in first}) == 12


def test_fresh_frames_are_no_shifted_copies_of_others_even_without_lowest_bits() -> None:
    frames = fresh_frames([as_levels(levels(0))], [])
    first = [next(frames).clone() >> 1 for _ in range(6)]
    shifts = [(rows, columns) for rows in range(6) for columns in range(8)]
    alike = [
        max(float((frame == other.roll(shift, (-2, -1))).float().mean()) for shift in shifts)
        for index, frame in enumerate(first)
        for other in first[:index]
    ]
    assert float(np.median(alike)) < 0.8  # two gains may be close by chance


def test_nobody_can_foresee_a_frame() -> None:
    again = [fresh_frames([as_levels(levels(0))], []) for _ in range(2)]
    first, second = ([next(frames).clone() for _ in range(4)] for frames in again)
    assert torch.equal(first[0], second[0])
    assert not any(torch.equal(one, other) for one in first[1:] for other in second[1:])


def test_the_host_clock_counts_the_time_of_the_call() -> None:
    import time

    reading = HostClock().time(lambda: (time.sleep(0.02), FRAME)[1])
    assert 20.0 <= reading.ms < 5000.0
    assert reading.output is FRAME


def test_the_image_behind_each_fresh_frame_is_known() -> None:
    images = [levels(i) for i in range(3)]
    drawn: list[Variation | None] = []
    frames = fresh_frames([as_levels(image) for image in images], drawn)
    for call, frame in zip(range(10), frames, strict=False):
        np.testing.assert_array_equal(frame[0].permute(1, 2, 0).numpy(), frame_of_call(images, call, drawn[call]))


def test_the_collector_does_not_run_between_a_frame_and_its_clock() -> None:
    seen: list[str] = []

    class MarkedClock(ScriptedClock):
        def time(self, call: Callable[[], Tensor]) -> Reading:
            seen.append("clock")
            return super().time(call)

    def frames() -> Iterator[Tensor]:
        while True:
            seen.append("frame")
            yield FRAME

    def collected(phase: str, _: object) -> None:
        seen.append("collected")

    def forward(x: Tensor) -> Tensor:
        gc.enable()  # as submitted code may do
        return x

    thresholds = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1, 1, 1)
    try:
        time_forward(forward, frames(), MarkedClock(repeat(1.0)), Sampling(2, 20, 20, None), lambda _: [[]])
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collected)
    assert gc.isenabled()
    assert "collected" in seen
    assert {following for one, following in pairwise(seen) if one == "frame"} == {"clock"}
