"""Time the forward passes of a network, and keep a copy of the last output that the controller can request."""

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

# Imported before any submitted code, so that patching the modules of timers has no effect on these functions.
from harness.worker.clock import clock_for
from harness.worker.frames import check_form, check_output, scale_levels, to_levels
from harness.worker.hygiene import cache_flusher
from harness.worker.measure import Sampling, Timing, fresh_frames, repeated_frame, time_forward
from harness.worker.network import MeasuredNetwork
from harness.worker.tampering import TamperDetector

_SAMPLE_STEP = 16
_MAX_NAMES = 8
_seed = torch.manual_seed  # bound before submitted code could replace it


class TimedCalls:
    """Times forward passes. Must be created before submitted code is imported.

    Attributes
    ----------
    size
        Height and width of the last timed input; None if nothing has been timed.
    """

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self._held: Tensor | None = None  # copy of the last timed output
        self._is_kept = False
        self._held_traces = torch.empty(0)  # a sample of its values, to detect changes
        self._tamper_detector = TamperDetector()

    def time(self, network: MeasuredNetwork, request: TimeRequest, arrays: Sequence[Array]) -> TimeReply:
        """Time forward passes on frames (H x W x 3, uint8) and check the output of each."""
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
                self._held_traces = _traces(checks.last)  # before the copy, to detect writes during it
                # Copying every output, 100 MB at 4K, would disturb the timing, so that only the last one is kept. The
                # network cannot know which call is the last.
                if not inside:
                    self._hold(checks.last)
                check_output(checks.last, checks.given, settings.scale)
        self.size = checks.given.shape[-2], checks.given.shape[-1]
        return _reply(timing)

    def output(self, request: OutputRequest) -> NDArray[np.float32]:
        """Return a region of the last timed output, 3 x H x W, float32."""
        if self._held is None or not self._is_kept:
            raise WorkerError("no timed output was kept", stage="time", kind="NotTimed")
        if not torch.equal(self._held_traces, _traces(self._held)):
            _disqualify("the harness's copy of a timed output was changed after the clock had stopped")
        rows = slice(request.top, request.top + request.height)
        columns = slice(request.left, request.left + request.width)
        part: NDArray[np.float32] = self._held[0, :, rows, columns].to("cpu", torch.float32).contiguous().numpy()
        return part

    def _check_functions(self) -> None:
        replaced = self._tamper_detector.replaced()
        if replaced:
            names = ", ".join(replaced[:_MAX_NAMES])
            _disqualify(f"it replaced {names}, which measure or check it", "do not patch other modules")

    def _hold(self, output: object) -> None:
        """Copy a timed output immediately, so that work that continues after the call cannot complete it."""
        _require_plain(output)
        if not isinstance(output, Tensor):
            return  # the check after the call reports it
        held = self._held
        if held is None or (held.shape, held.dtype, held.device) != (output.shape, output.dtype, output.device):
            self._held = output.detach().clone()
        else:
            held.copy_(output)  # reuses the memory, so that no page faults occur near the next call


class _CallChecks:
    """Checks before and after each timed call, outside of the timed window."""

    def __init__(self, network: MeasuredNetwork) -> None:
        self.given = self.last = self._traces = torch.empty(0)
        self._frames = network.given_frames()
        self._scale = network.settings.scale

    def give(self, frame: Tensor) -> Tensor:
        """Place a frame into the tensor of timed calls and return that tensor."""
        self.given = self._frames.timed(frame)
        self._traces = _traces(self.given)
        return self.given

    def check(self, output: Tensor) -> None:
        """Raise if an output has the wrong form or if the call modified its input."""
        _require_plain(output)
        self.last = check_form(output, self.given, self._scale)
        if not torch.equal(self._traces, _traces(self.given)):
            _disqualify("its forward pass changes its input", "compute on a copy")


def _timed_inputs(
    network: MeasuredNetwork, request: TimeRequest, arrays: Sequence[Array], give: Callable[[Tensor], Tensor]
) -> Iterator[Tensor]:
    if request.inputs == "fresh":  # generated on the device: only the uint8 frames are transferred
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
    """Seed torch's generator before every call, so that outputs of networks with random numbers are reproducible."""
    for frame in frames:
        _seed(seed)
        yield frame


def _traces(image: Tensor) -> Tensor:
    """Return a copy of every 16th row and column, small enough that its cost is negligible."""
    return image[..., ::_SAMPLE_STEP, ::_SAMPLE_STEP].clone()


def _require_plain(output: object) -> None:
    """Disqualify a network that returns a subclass of Tensor, which could compute its values after the clock stops."""
    if isinstance(output, Tensor) and type(output) not in (Tensor, nn.Parameter):
        _disqualify(
            f"the output of a timed call is a {type(output).__name__}, which may defer its work",
            "return a plain torch.Tensor",
        )


def _disqualify(what: str, hint: str | None = None) -> NoReturn:
    raise WorkerError(what, stage="time", kind=DISQUALIFIED, hint=hint)
