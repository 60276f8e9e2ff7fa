"""The timing loop: warm up, take samples, stop at the budget."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.timing.frames import Variation, draw_variation
from harness.timing.protocol import WARMUP_SHARE

if TYPE_CHECKING:  # the controller plans and judges measurements without importing torch
    from torch import Tensor

    from harness.worker.clock import Clock


# Bound before submitted code could replace them.
_stop_collector = gc.disable
_start_collector = gc.enable


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
        with _collector_stopped():
            frame = next(inputs)  # prepared before the clock starts
            at = time.monotonic() - begin
            reading = clock.time(lambda: forward(frame))
        alarms += reading.alarming
        check(reading.output)
        return Sample(at, reading.ms)

    def spent() -> float:
        return time.monotonic() - begin

    budget = float("inf") if sampling.budget_s is None else sampling.budget_s
    # If the first call alone exceeds the budget, the network is too slow for a second one.
    warmup = [call()] if sampling.warmup else []
    if warmup and warmup[0].ms / 1e3 >= budget:
        note = f"one call without warm-up: it takes longer than the budget of {budget:g} s"
        return Timing((), (warmup[0],), note, clock.name, alarms)
    while len(warmup) < sampling.warmup and spent() < budget * WARMUP_SHARE:
        warmup.append(call())
    samples: list[Sample] = []
    # `min_repeats` takes precedence over the budget, because fewer samples would not allow an interval.
    while len(samples) < sampling.repeats and (spent() < budget or len(samples) < sampling.min_repeats):
        samples.append(call())
    return Timing(tuple(warmup), tuple(samples), None, clock.name, alarms)


@contextlib.contextmanager
def _collector_stopped() -> Iterator[None]:
    """Keep Python's collector from calling finalizers, which would have a frame to work on before the clock starts."""
    _stop_collector()
    try:
        yield
    finally:
        _start_collector()


def fresh_frames(frames: Sequence[Tensor], drawn: list[Variation | None]) -> Iterator[Tensor]:
    """Yield an infinite sequence of frames that a network has not seen and cannot foresee.

    The frames are yielded in turn, first as they are and then varied, see
    :class:`harness.timing.frames.Variation`. The variation is drawn when the frame is asked for.

    Parameters
    ----------
    frames
        Frames, 1 x 3 x H x W, uint8.
    drawn
        Receives the variation of each frame; None for a frame as it is.
    """
    drawn += [None] * len(frames)
    yield from frames
    while True:
        for frame in frames:
            variation = draw_variation(frame.shape[-2], frame.shape[-1])
            drawn.append(variation)
            yield _varied(frame, variation)


def _varied(frame: Tensor, variation: Variation) -> Tensor:
    """Return what :func:`harness.timing.frames.vary` returns, on the frame's device."""
    # Through 32 bits, and in place where possible: this takes time before each timed call.
    # The same integers as in `harness.timing.frames`, because the controller makes the frame again.
    dimmed = frame.roll(variation.shift, (-2, -1)).int().mul_(variation.gain).add_(1 << 15)
    varied = dimmed.bitwise_right_shift_(16).byte()
    return varied.bitwise_xor_(frame.roll(variation.grain, (-2, -1)).bitwise_and_(1))


def repeated_frame(frame: Tensor) -> Iterator[Tensor]:
    """Yield the same unmodified tensor forever, as the published timing scripts do."""
    while True:
        yield frame
