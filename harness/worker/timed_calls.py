"""The timed calls of a submission's network, and the copy of the last output that the controller can ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.messages import Array
from harness.isolation.requests import OutputRequest, TimeReply, TimeRequest

# Before any submitted code, so that what it does to the modules of timers cannot reach these.
from harness.worker.clock import clock_for
from harness.worker.frames import check_form, check_output, scale_levels, to_levels
from harness.worker.hygiene import cache_flusher
from harness.worker.measure import Sampling, Timing, fresh_frames, repeated_frame, time_forward
from harness.worker.network import MeasuredNetwork
from harness.worker.tampering import TamperDetector

_TRACE_STEP = 16
_MOST_NAMES = 8
_seed = torch.manual_seed  # as it is before submitted code


class TimedCalls:
    """Times forward passes; make it before submitted code is imported.

    Attributes
    ----------
    size
        Height and width of the input that was timed last; None before.
    """

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self._held: Tensor | None = None  # the last timed output, copied when its time had been taken
        self._is_kept = False
        self._held_traces = torch.empty(0)  # some of its values, to see that nobody changes it
        self._tamper_detector = TamperDetector()

    def time(self, network: MeasuredNetwork, request: TimeRequest, arrays: Sequence[Array]) -> TimeReply:
        """Time forward passes on frames H x W x 3, uint8, and check the output of each."""
        settings = network.settings
        device = torch.device(settings.device)
        inside = settings.strict and device.type != "cpu"
        clock = clock_for(device, cache_flusher(device), self._hold) if inside else clock_for(device)
        checks = _CallChecks(network)
        self._check_functions()
        repeats = min(request.repeats, len(arrays)) if request.inputs == "dataset" else request.repeats
        with torch.inference_mode():
            timing = time_forward(
                network.runner(),
                _seeded(_timed_inputs(network, request, arrays, checks.give), settings.seed),
                clock,
                Sampling(request.warmup, repeats, request.min_repeats, request.budget_s),
                checks.check,
            )
            self._is_kept = request.keep or inside
            if self._is_kept:
                self._held_traces = _traces(checks.last)  # before the copy: what is written meanwhile shows
                if not inside:  # nobody knows which call is the last, so that one stands for all: each is 100 MB at 4K
                    self._hold(checks.last)
                check_output(checks.last, checks.given, settings.scale)
        self.size = checks.given.shape[-2], checks.given.shape[-1]
        return _reply(timing)

    def output(self, request: OutputRequest) -> NDArray[np.float32]:
        """Return a part of the last timed output, 3 x H x W."""
        if self._held is None or not self._is_kept:
            raise WorkerError("no timed output was kept", stage="time", kind="NotTimed")
        if not torch.equal(self._held_traces, _traces(self._held)):
            _foul("the harness's copy of a timed output was changed after its time had been taken")
        rows = slice(request.top, request.top + request.height)
        columns = slice(request.left, request.left + request.width)
        part: NDArray[np.float32] = self._held[0, :, rows, columns].to("cpu", torch.float32).contiguous().numpy()
        return part

    def _check_functions(self) -> None:
        replaced = self._tamper_detector.replaced()
        if replaced:
            names = ", ".join(replaced[:_MOST_NAMES])
            _foul(f"it replaced {names}, which measure or check it", "leave other modules as they are")

    def _hold(self, output: object) -> None:
        """Copy a timed output at once, before anything that still works on it can finish."""
        _require_plain(output)
        if not isinstance(output, Tensor):
            return  # refused by the check that follows
        held = self._held
        if held is None or (held.shape, held.dtype, held.device) != (output.shape, output.dtype, output.device):
            self._held = output.detach().clone()
        else:
            held.copy_(output)  # the same memory again: no page faults beside the next call


class _CallChecks:
    """What is checked around each timed call, outside of its time."""

    def __init__(self, network: MeasuredNetwork) -> None:
        self.given = self.last = self._traces = torch.empty(0)
        self._frames = network.given_frames()
        self._scale = network.settings.scale

    def give(self, frame: Tensor) -> Tensor:
        """Return the frame as the next call is given it."""
        self.given = self._frames.timed(frame)
        self._traces = _traces(self.given)
        return self.given

    def check(self, output: Tensor) -> None:
        """Refuse an output of a wrong form, and a call that changed its input."""
        _require_plain(output)
        self.last = check_form(output, self.given, self._scale)
        if not torch.equal(self._traces, _traces(self.given)):
            _foul("its forward pass changes its input", "compute on a copy")


def _timed_inputs(
    network: MeasuredNetwork, request: TimeRequest, arrays: Sequence[Array], give: Callable[[Tensor], Tensor]
) -> Iterator[Tensor]:
    if request.inputs == "fresh":  # made on the device from few bytes
        settings = network.settings
        levels = fresh_frames([to_levels(frame).to(settings.device) for frame in arrays])
        scaled = (scale_levels(level, settings.value_range, network.size_multiple) for level in levels)
        return (give(network.place(frame)) for frame in scaled)
    frames = (network.place(network.to_input(frame)) for frame in arrays)
    return repeated_frame(give(next(frames))) if request.inputs == "reused" else map(give, frames)


def _reply(timing: Timing) -> TimeReply:
    return TimeReply(
        samples_ms=[sample.ms for sample in timing.samples],
        at_s=[sample.at_s for sample in timing.samples],
        clock=timing.clock,
        warmup_ms=[sample.ms for sample in timing.warmup],
        warmup_at_s=[sample.at_s for sample in timing.warmup],
        warmup_calls=len(timing.warmup),
        alarms=timing.alarms,
        note=timing.note,
    )


def _seeded(frames: Iterator[Tensor], seed: int) -> Iterator[Tensor]:
    """Begin every call with the same random numbers: then what a network makes of a frame does not depend on chance."""
    for frame in frames:
        _seed(seed)
        yield frame


def _traces(image: Tensor) -> Tensor:
    """Return a copy of some values of an image, few enough to cost nothing beside a forward pass."""
    return image[..., ::_TRACE_STEP, ::_TRACE_STEP].clone()


def _require_plain(output: object) -> None:
    """Refuse a subclass of Tensor as a timed output."""
    if isinstance(output, Tensor) and type(output) not in (Tensor, nn.Parameter):
        _foul(
            f"the output of a timed call is a {type(output).__name__}, which may put off its work",
            "return a plain torch.Tensor",
        )


def _foul(what: str, hint: str | None = None) -> NoReturn:
    raise WorkerError(what, stage="time", kind=DISQUALIFIED, hint=hint)
