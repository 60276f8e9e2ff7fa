"""The runtime of a caller's network, beside the anchor network: ``harness.benchmark``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.api.live_networks import Size, checked_range, checked_size, in_eval_mode, place_of, usual_defaults
from harness.errors import DataError, UsageError
from harness.results.measurement import RoundTimes, TimingRecord
from harness.statistics.runtime_summary import (
    SummaryRule,
    anchor_level,
    interval_is_narrow,
    round_ratios,
    summarise_record,
    turn_ms,
)
from harness.timing.anchor.arch import srmodel
from harness.timing.protocol import ROBUST, WARMUP_SHARE
from harness.worker.clock import clock_for
from harness.worker.measure import fresh_frames

# Number of different frames, from which a new one is made for each call.
_FRAMES = 4
# Rounds before which the interval is not examined.
_MIN_ROUNDS = 6
# Warm-up calls, however long they take.
_MIN_WARMUP = 2
_INTERVAL_EVERY = 4  # rounds: the interval takes time to compute


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Runtime of one forward pass.

    Attributes
    ----------
    median_ms
        Median of the ratios to the anchor network, times the anchor's own time, milliseconds.
    ci_ms
        95 % interval of it, in this process. Processes of one network differ by about 1 %; ``harness time`` and
        ``harness run`` measure several.
    anchor_ms
        Median time of the anchor, a small fixed network that is timed between all turns, milliseconds.
    ratio
        ``median_ms / anchor_ms``, which depends less on what else the machine does.
    fps
        ``1000 / median_ms``.
    samples
        Number of timed calls.
    stable
        Whether half the width of the interval is at most 0.5 % of the median.
    note
        What disturbed the measurement; None if nothing did.
    device
        Torch device.
    """

    median_ms: float
    ci_ms: tuple[float, float]
    anchor_ms: float
    ratio: float
    fps: float
    samples: int
    stable: bool
    note: str | None
    device: str


def benchmark(
    module: nn.Module, size: Size = (1080, 1920), *, value_range: float = 1.0, budget_s: float = 8.0
) -> Benchmark:
    """Time a network as the protocol ``robust`` does: in turns beside the anchor, with a new frame for each call.

    The network runs in this process, on the device and in the dtype of its parameters, with torch's current number of
    threads, in evaluation mode and without gradients. Nothing checks that it computes what it should.

    Parameters
    ----------
    module
        Maps 1 x 3 x H x W to an upscaled image.
    size
        Height and width of the input. By default that of the real-time track for 4K output at scale 2.
    value_range
        Value of white in the network's input, 1 or 255.
    budget_s
        Seconds after which no further round begins.

    Raises
    ------
    UsageError
        The size or the budget is not positive, or the value range is not 1 or 255.
    DataError
        The network does not return a tensor.
    """
    height, width = checked_size(size)
    if not budget_s > 0:
        raise UsageError(f"a budget of {budget_s:g} s leaves no time to measure", hint="give seconds")
    with in_eval_mode(module):
        timer = _Timer(module, (height, width), checked_range(value_range))
        record = _timed(timer, time.monotonic() + budget_s, budget_s)
    rule = SummaryRule(ROBUST.statistic, ROBUST.half_width, in_rounds=True)
    runtime = summarise_record(record, rule)
    anchor_ms = anchor_level([record])
    assert anchor_ms is not None  # there are rounds
    return Benchmark(
        median_ms=runtime.median,
        ci_ms=runtime.ci,
        anchor_ms=anchor_ms,
        ratio=runtime.median / anchor_ms,
        fps=1000 / runtime.median,
        samples=runtime.samples,
        stable=runtime.stable,
        note=runtime.note,
        device=str(timer.device),
    )


class _Timer:
    """Times calls of a network and of the anchor on one device."""

    def __init__(self, module: nn.Module, size: Size, value_range: float) -> None:
        self.device, dtype = place_of(module)
        # Noise is enough: no output is compared with an image.
        generator = torch.Generator().manual_seed(0)
        shape = (1, 3, *size)
        with usual_defaults():
            frames = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in range(_FRAMES)]
            anchor = srmodel()
        # Endless: each call gets a variation of a frame, as in the protocol `robust`.
        self._frames = fresh_frames([frame.to(self.device) for frame in frames], [])
        self._scale, self._dtype = value_range / 255, dtype
        self._clock = clock_for(self.device)
        self.network: Callable[[Tensor], object] = module
        self.anchor: Callable[[Tensor], object] = anchor.to(self.device, dtype).eval()
        self.clock = self._clock.name
        self.begin = time.monotonic()

    def call(self, network: Callable[[Tensor], object]) -> tuple[float, float]:
        """Time one call on a new frame; return seconds since the beginning, and milliseconds."""
        # Converted before the clock starts.
        frame = next(self._frames).to(self._dtype) * self._scale
        at_s = time.monotonic() - self.begin
        return at_s, self._clock.time(lambda: _tensor(network(frame))).ms

    def turn(self, network: Callable[[Tensor], object], length_s: float) -> list[tuple[float, float]]:
        """Time calls until `length_s` are over."""
        end = time.monotonic() + length_s
        # One call at least, however long it takes.
        calls = [self.call(network)]
        while time.monotonic() < end:
            calls.append(self.call(network))
        return calls


def _tensor(output: object) -> Tensor:
    if not isinstance(output, Tensor):
        raise DataError(f"the network returns {type(output).__name__}, not a tensor", hint="return the upscaled image")
    return output


def _timed(timer: _Timer, deadline: float, budget_s: float) -> TimingRecord:
    """Return the calls of all rounds."""
    on_cpu = timer.device.type == "cpu"
    # The statistic that `protocol_for` chooses for each kind of device.
    record = TimingRecord(clock=timer.clock, turn_statistic="mean" if on_cpu else "median")
    warm_until = time.monotonic() + WARMUP_SHARE * budget_s
    while len(record.warmup) < _MIN_WARMUP or (len(record.warmup) < ROBUST.warmup and time.monotonic() < warm_until):
        # The anchor is warmed up as well.
        timer.call(timer.anchor)
        record.warmup.append(timer.call(timer.network))
    before_ms = _anchor_ms(timer, record)
    while len(record.rounds) < ROBUST.repeats:
        calls = timer.turn(timer.network, ROBUST.turn_s)
        after_ms = _anchor_ms(timer, record)
        record.samples.extend(calls)
        turn = RoundTimes(number=len(record.rounds), calls=len(calls), anchor_ms=(before_ms, after_ms))
        record.rounds.append(turn)
        # The anchor's turn after a round is the one before the next.
        before_ms = after_ms
        if _is_enough(record) or (time.monotonic() > deadline and len(record.rounds) >= ROBUST.min_repeats):
            break
    return record


def _anchor_ms(timer: _Timer, record: TimingRecord) -> float:
    return turn_ms([ms for _, ms in timer.turn(timer.anchor, ROBUST.anchor_turn_s)], record.turn_statistic)


def _is_enough(record: TimingRecord) -> bool:
    rounds = len(record.rounds)
    if rounds < _MIN_ROUNDS or rounds % _INTERVAL_EVERY:
        return False
    return interval_is_narrow(round_ratios(record).values, ROBUST.half_width)
