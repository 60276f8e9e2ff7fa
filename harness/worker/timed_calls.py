"""Call a network, timed, and take strips of every output.

There is one path for all calls, whether their times count, their images are scored, or both are compared: a request for
times. The controller may ask for the image of the last call afterwards, so no call knows whether it is scored.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.messages import Array
from harness.isolation.requests import TimeReply, TimeRequest
from harness.timing.frames import Variation
from harness.timing.strips import STRIPS, strip_width

# Imported before any submitted code, so that patching the modules of timers has no effect on these functions.
from harness.worker.clock import clock_for
from harness.worker.frames import Image, check_form, check_output, scale_levels, to_image, to_levels
from harness.worker.hygiene import cache_flusher
from harness.worker.measure import Sampling, Timing, fresh_frames, repeated_frame, time_forward
from harness.worker.memory import touch_spare_pages
from harness.worker.network import MeasuredNetwork
from harness.worker.tampering import TamperDetector

_SAMPLE_STEP = 16
_MAX_NAMES = 8
# Bound before submitted code could replace them.
_seed_processor = torch.default_generator.manual_seed
_seed_devices = torch.manual_seed
_seed_python = random.seed
_seed_numpy = np.random.seed
_random_bytes = os.urandom
# The classes that an output may have.
_PLAIN = (Tensor, nn.Parameter)
# numpy's global generator takes seeds of 32 bits.
_MAX_NUMPY_SEED = (1 << 32) - 1


class TimedCalls:
    """Times forward passes. Must be created before submitted code is imported.

    Parameters
    ----------
    mark
        Called before and after each timed window, see :class:`harness.worker.clock.HostClock`.

    Attributes
    ----------
    size
        Height and width of the last timed input; None if nothing has been timed.
    """

    def __init__(self, mark: Callable[[], object] | None = None) -> None:
        self.size: tuple[int, int] | None = None
        self._mark = mark or (lambda: None)
        self._held: Tensor | None = None  # copy of the last timed output, on an accelerator
        self._last: Tensor | None = None
        self._last_frame = (0, 0)
        self._tamper_detector = TamperDetector()

    def time(
        self, network: MeasuredNetwork, request: TimeRequest, arrays: Sequence[Array]
    ) -> tuple[TimeReply, list[Array]]:
        """Time forward passes on frames (H x W x 3, uint8) and check the output of each.

        Returns
        -------
        tuple
            The times, and two arrays with the strips of each output: places, calls x STRIPS x 2, and values, calls x
            STRIPS x 3 x width, in the network's value range; both float32.
        """
        settings = network.settings
        device = torch.device(settings.device)
        inside = settings.strict and device.type != "cpu"
        before, keep = (cache_flusher(device), self._hold) if inside else (None, None)
        clock = clock_for(device, before, keep, self._mark)
        self._check_functions()
        repeats = min(request.repeats, len(arrays)) if request.inputs == "dataset" else request.repeats
        calls = repeats if request.inputs == "dataset" else request.warmup + max(repeats, request.min_repeats)
        width = strip_width([frame.shape[1] for frame in arrays], calls, settings.scale)
        drawn: list[Variation | None] = []
        checks = _CallChecks(network, width, [frame.shape[:2] for frame in arrays], self._check_before_call)
        with torch.inference_mode():
            timing = time_forward(
                network.runner(),
                checks.give_each(_timed_inputs(network, request, arrays, drawn)),
                clock,
                Sampling(request.warmup, repeats, request.min_repeats, request.budget_s),
                lambda output: checks.check(output, self._held if inside else None),
            )
            # Reading all values takes time, so only the last output is tested whole; the controller tests the strips.
            check_output(checks.last, checks.given, settings.scale)
        self._check_functions()  # what was set up in a call may be gone before the next request
        self._last, self._last_frame = self._held if inside else checks.last, checks.frame
        size = checks.given.shape[-2], checks.given.shape[-1]
        if self.size is None and device.type == "cpu":
            touch_spare_pages(size, settings.scale)
        self.size = size
        # `fresh_frames` lists all frames that were sent at once, also those for which there was no call.
        return _reply(timing, drawn[: len(checks.places)]), [np.stack(checks.places), np.stack(checks.values)]

    def release(self, network: MeasuredNetwork) -> None:
        """Free the last timed output, and what other sizes of frames needed."""
        self._last = None
        network.release_inputs()

    def image(self, network: MeasuredNetwork, frame_of: Callable[[int, int], Image | None]) -> Image:
        """Return the last timed output as an image, H x W x 3, uint8, in the memory that `frame_of` returns, if any."""
        if self._last is None:
            raise WorkerError("nothing was upscaled", stage="upscale", kind="NotTimed")
        settings = network.settings
        height, width = (side * settings.scale for side in self._last_frame)
        output, self._last = self._last, None
        with torch.inference_mode():
            return to_image(output, settings.value_range, height, width, frame_of(height, width))

    def _check_functions(self) -> None:
        self._judge(self._tamper_detector.replaced(), self._tamper_detector.watching())

    def _check_before_call(self) -> None:
        self._judge(*self._tamper_detector.before_call())

    def _judge(self, replaced: Sequence[str], watching: Sequence[str]) -> None:
        if replaced:
            names = ", ".join(replaced[:_MAX_NAMES])
            _disqualify(f"it replaced {names}, which measure or check it", "do not patch other modules")
        if watching:
            _disqualify(f"it watches the harness's calls by {', '.join(watching)}", "remove hooks after loading")

    def _hold(self, output: object) -> None:
        """Copy a timed output immediately, so that work that continues after the call cannot complete it."""
        _require_plain(output)
        if not isinstance(output, Tensor):
            return  # the check after the call reports it
        held = self._held
        if held is None or (held.shape, held.dtype, held.device) != (output.shape, output.dtype, output.device):
            # Not `output.detach()`: an attribute of one tensor takes the place of a method.
            self._held = Tensor.detach(output).clone()
        else:
            held.copy_(output)  # reuses the memory, so that no page faults occur near the next call


class _CallChecks:
    """What happens before and after each timed call, outside of the timed window.

    Parameters
    ----------
    network
        The network.
    width
        Width of strips, pixels.
    sizes
        Height and width of each frame of the request.
    check_functions
        Called before each frame is made; raises if functions were replaced.
    """

    def __init__(
        self,
        network: MeasuredNetwork,
        width: int,
        sizes: Sequence[tuple[int, int]],
        check_functions: Callable[[], None],
    ) -> None:
        self.given = self.last = self._traces = torch.empty(0)
        self.places: list[NDArray[np.float32]] = []
        self.values: list[NDArray[np.float32]] = []
        self._frames = network.given_frames()
        self._settings = network.settings
        self._width = width
        self._sizes = sizes
        self._check_functions = check_functions

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width of the last frame, without padding."""
        return self._sizes[(len(self.places) - 1) % len(self._sizes)]

    def give_each(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Free the output of the call before, and give the next frame, which does not exist until then."""
        for given in map(self._give, frames):
            yield given
            self._release()
            self._check_functions()  # after all that the network can have called, and before there is a frame

    def _release(self) -> None:
        # A network can attach a finalizer to its output, which is called here. Also, a burst then needs no more memory
        # than the single calls of the warm-up: a heap that grows within a timed call costs tens of milliseconds.
        # The traces, too: nothing is freed once the frame is in its place.
        self.last = self._traces = torch.empty(0)
        self._frames.release()

    def _give(self, frame: Tensor) -> Tensor:
        """Seed the random numbers, place a frame into the tensor of timed calls, and return that tensor.

        The seeds come first: code that is called by them then has no frame to work on. With equal random numbers in
        every call, outputs of networks with random elements are reproducible.
        """
        _seed(self._settings.seed, self._settings.device)
        self.given = self._frames.place(frame)
        self._traces = _traces(self.given)
        return self.given

    def check(self, output: Tensor, held: Tensor | None) -> None:
        """Take strips of an output, or of its copy, and raise if it has the wrong form or its input was modified."""
        _require_plain(output)
        self.last = check_form(output, self.given, self._settings.scale)
        self._take_strips(self.last if held is None else held)
        if not torch.equal(self._traces, _traces(self.given)):
            _disqualify("its forward pass changes its input", "compute on a copy")

    def _take_strips(self, output: Tensor) -> None:
        # Appended before the places are drawn, because `frame` finds the frame of this call by their number.
        self.places.append(np.zeros((STRIPS, 2), np.float32))
        height, width = (side * self._settings.scale for side in self.frame)
        # Two numbers of 64 bits for each strip: the bias of the remainder is negligible.
        drawn = np.frombuffer(_random_bytes(16 * STRIPS), np.uint64).reshape(STRIPS, 2)
        places = (drawn % np.array([height, width - self._width + 1], np.uint64)).astype(np.int64)
        self.places[-1] = places.astype(np.float32)
        parts = [output[0, :, row, left : left + self._width] for row, left in places.tolist()]
        self.values.append(torch.stack(parts).detach().to("cpu", torch.float32).numpy())


def _timed_inputs(
    network: MeasuredNetwork, request: TimeRequest, arrays: Sequence[Array], drawn: list[Variation | None]
) -> Iterator[Tensor]:
    """Yield the frames of the calls, on the device, before they are placed into the tensor that the network gets.

    `drawn` receives how each of them was varied, if they are.
    """
    settings = network.settings
    levels = [to_levels(frame) for frame in arrays]
    if request.inputs == "fresh":  # generated on the device: only the uint8 frames are transferred
        given = fresh_frames([level.to(settings.device) for level in levels], drawn)
    else:
        given = repeated_frame(levels[0]) if request.inputs == "reused" else iter(levels)
    scaled = (scale_levels(level.to(settings.device), settings.value_range, network.size_multiple) for level in given)
    return (network.place(frame) for frame in scaled)


def _reply(timing: Timing, drawn: Sequence[Variation | None]) -> TimeReply:
    return TimeReply(
        samples_ms=[sample.ms for sample in timing.samples],
        at_s=[sample.at_s for sample in timing.samples],
        clock=timing.clock,
        warmup_ms=[sample.ms for sample in timing.warmup],
        warmup_at_s=[sample.at_s for sample in timing.warmup],
        warmup_calls=len(timing.warmup),
        alarms=timing.alarms,
        note=timing.note,
        varied=[[] if variation is None else variation.as_row() for variation in drawn],
    )


def _seed(seed: int, device: str) -> None:
    """Seed the global random numbers of torch, Python and numpy."""
    if device == "cpu":
        _seed_processor(seed)
    else:
        _seed_devices(seed)
    _seed_python(seed)
    _seed_numpy(seed & _MAX_NUMPY_SEED)


def _traces(image: Tensor) -> Tensor:
    """Return a copy of every 16th row and column, small enough that its cost is negligible."""
    return image[..., ::_SAMPLE_STEP, ::_SAMPLE_STEP].clone()


def _require_plain(output: object) -> None:
    """Disqualify a network that returns a subclass of Tensor, which could compute its values after the clock stops."""
    # By identity: `in` and `==` ask the class of a class, which may be a submission's.
    if isinstance(output, Tensor) and not any(type(output) is plain for plain in _PLAIN):
        _disqualify(
            f"the output of a timed call is a {type(output).__name__}, which may defer its work",
            "return a plain torch.Tensor",
        )


def _disqualify(what: str, hint: str | None = None) -> NoReturn:
    raise WorkerError(what, stage="time", kind=DISQUALIFIED, hint=hint)
