"""The measurement itself: warm up, sample, stop. It reads like the protocol."""

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
        When it began, seconds since the measurement began.
    ms
        How long it took, milliseconds.
    """

    at_s: float
    ms: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """How often to call, see :class:`harness.timing.protocol.TimingProtocol`."""

    warmup: int
    repeats: int
    min_repeats: int
    budget_s: float | None


@dataclass(frozen=True, slots=True)
class Timing:
    """All samples of one network, and the calls that warmed it up."""

    warmup: tuple[Sample, ...]
    samples: tuple[Sample, ...]
    note: str | None
    clock: str
    alarms: int = 0
    """Calls in which two clocks disagree, see :class:`harness.worker.clock.Reading`."""


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
        Endless; each item is on the device, in the network's value range and precision.
    clock
        Times one call.
    sampling
        How often.
    check
        Called, untimed, on the output of every call; raises where it is not an upscaled image.

    Returns
    -------
    Timing
        Where a single call outlasts the budget, that first call is the only sample, and ``note`` says so.
    """
    begin = time.monotonic()
    alarms = 0

    def call() -> Sample:
        nonlocal alarms
        frame = next(inputs)
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
        note = f"one call, not warmed up: it outlasts the budget of {budget:g} s"
        return Timing((), (warmup[0],), note, clock.name, alarms)
    while len(warmup) < sampling.warmup and spent() < budget * WARMUP_SHARE:
        warmup.append(call())
    samples: list[Sample] = []
    while len(samples) < sampling.repeats and (spent() < budget or len(samples) < sampling.min_repeats):
        samples.append(call())
    return Timing(tuple(warmup), tuple(samples), None, clock.name, alarms)


def fresh_frames(frames: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield endless frames of which no two are the same, nor the same but for a shift.

    Parameters
    ----------
    frames
        1 x 3 x H x W, uint8. They come in turn, shifted round more each time, and with the lowest bits of the same
        frame shifted otherwise upon them: what a network made of one cannot be shifted to serve for the next.
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
    """Yield one tensor for ever, untouched between calls, as the published script does."""
    while True:
        yield frame
