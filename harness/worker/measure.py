"""The timing loop: warm up, take samples, stop at the budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.timing.frames import grain_of_turn, shift_of_turn
from harness.timing.protocol import WARMUP_SHARE

if TYPE_CHECKING:  # the controller plans and judges measurements without importing torch
    from torch import Tensor

    from harness.worker.clock import Clock


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed call.

    Attributes
    ----------
    at_s
        Start of the call, seconds since the start of the measurement.
    ms
        Duration, milliseconds.
    """

    at_s: float
    ms: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """Number of calls and time budget, see :class:`harness.timing.protocol.TimingProtocol`."""

    warmup: int
    repeats: int
    min_repeats: int
    budget_s: float | None


@dataclass(frozen=True, slots=True)
class Timing:
    """All samples of one network, including warm-up calls."""

    warmup: tuple[Sample, ...]
    samples: tuple[Sample, ...]
    note: str | None
    clock: str
    alarms: int = 0
    """Number of calls in which the two clocks disagree, see :class:`harness.worker.clock.Reading`."""


def time_forward(
    forward: Callable[[Tensor], Tensor],
    inputs: Iterator[Tensor],
    clock: Clock,
    sampling: Sampling,
    check: Callable[[Tensor], None],
) -> Timing:
    """Time a network's forward pass.

    Parameters
    ----------
    forward
        The network, in its inference form and precision.
    inputs
        Infinite iterator of inputs on the device, in the network's value range and precision. Host-to-device transfer
        is not timed.
    clock
        Times one call.
    sampling
        Number of calls and time budget.
    check
        Called on the output of every call, outside of the timed window; raises if it is not an upscaled image.

    Returns
    -------
    Timing
        If a single call takes longer than the budget, that first call is the only sample, and ``note`` says so.
    """
    begin = time.monotonic()
    alarms = 0

    def call() -> Sample:
        nonlocal alarms
        frame = next(inputs)  # prepared before the clock starts
        at = time.monotonic() - begin
        reading = clock.time(lambda: forward(frame))
        alarms += reading.alarming
        check(reading.output)
        return Sample(at, reading.ms)

    def spent() -> float:
        return time.monotonic() - begin

    budget = float("inf") if sampling.budget_s is None else sampling.budget_s
    warmup = [call()] if sampling.warmup else []
    if warmup and warmup[0].ms / 1e3 >= budget:
        note = f"one call without warm-up: it takes longer than the budget of {budget:g} s"
        return Timing((), (warmup[0],), note, clock.name, alarms)
    while len(warmup) < sampling.warmup and spent() < budget * WARMUP_SHARE:
        warmup.append(call())
    samples: list[Sample] = []
    while len(samples) < sampling.repeats and (spent() < budget or len(samples) < sampling.min_repeats):
        samples.append(call())
    return Timing(tuple(warmup), tuple(samples), None, clock.name, alarms)


def fresh_frames(frames: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield an infinite sequence of frames of which no two are equal, or equal up to a shift.

    The frames are yielded in turn. In each pass they are rolled by a different offset, and the lowest bit of the same
    frame, rolled by another offset, is XORed into them. A network can therefore neither return a cached output nor
    shift one to obtain the output for a later frame.

    Parameters
    ----------
    frames
        Frames, 1 x 3 x H x W, uint8.
    """
    turn = 0
    while True:
        for frame in frames:
            yield (
                frame.roll(shift_of_turn(turn), (-2, -1)) ^ (frame.roll(grain_of_turn(turn), (-2, -1)) & 1)
                if turn
                else frame
            )
        turn += 1


def repeated_frame(frame: Tensor) -> Iterator[Tensor]:
    """Yield the same unmodified tensor forever, as the published timing scripts do."""
    while True:
        yield frame
