"""Images at the size that is timed are as good as at the size that is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.backends import BACKENDS
from harness.data import Dataset
from harness.isolation.session import Session
from harness.machine.quiet import QUIET_HOURS
from harness.quality import upscale_bicubic
from harness.results import TimingRecord
from harness.run.plan import Plan
from harness.timing.checks import check_timed_size, disqualify
from harness.timing.crops import crops_pay
from harness.timing.frames import FrameSource, draw_variation, vary
from harness.timing.output_check import OutputCheck, OutputSample
from harness.timing.timed_parts import MAX_LOSS_DB, Errors, TimedPart, errors_of, find_loss, is_as_good, loss_db

Image = NDArray[np.uint8]

_FAR_BELOW = 2.0  # times the squared error of bicubic: 3 dB
_CONFIRMATIONS = 2  # further frames on which a loss must be found
_EDGE = 8  # LR pixels beside each edge that are not compared
_GRID = 16  # pixels: a multiple of the strides of networks that take any size


def check_what_was_timed(
    plan: Plan,
    worker: Session,
    timing: TimingRecord | None,
    timed_output: OutputSample | None,
    parts: Sequence[TimedPart],
    size_multiple: int,
    scored: Mapping[int, Image],
) -> None:
    """Disqualify a network that computes something else for timed frames now than it did in its timing.

    Parameters
    ----------
    plan
        The run.
    worker
        The network's session.
    timing
        Its timing. A network whose calls are long is not called again if the parts of its timed outputs show that they
        are as good.
    timed_output
        A part of a timed output; None if none was kept.
    parts
        Parts of timed outputs, to be compared with the images that are scored.
    size_multiple
        The network pads its input to a multiple of this.
    scored
        The outputs that are scored, of the images of which timed frames are made, by index.

    Raises
    ------
    WorkerError
        Of the kind `DISQUALIFIED`.
    """
    is_slow, is_long = _is_slow(plan, timing), _is_long(plan, timing)
    if timed_output is not None and not is_slow:
        OutputCheck(worker, plan.protocol.precision, plan.track.scale if is_long else None).check_later(timed_output)
    images = _Images(plan.dataset, scored)
    with QUIET_HOURS.work():  # images are compared here
        # Timed outputs may show how good a network is at that size, without a further call.
        saves = is_slow or is_long
        strips = _errors_of_parts(images, [strip for part in parts for strip in part.split()]) if saves else []
        is_known = saves and _is_as_good(images, parts, strips)
        # Protocols that time the data set's own images time what they score.
        if plan.protocol.inputs != "dataset" and not is_known:
            check_timed_size(_at_both_sizes(plan, images, worker.upscale, math.lcm(_GRID, size_multiple)))
        _check_timed_parts(images, parts)
        if is_slow and not is_known:
            _check_whole_outputs(plan, images, worker, strips)


@dataclass(frozen=True, slots=True)
class _Images:
    """Images of which timed frames are made.

    Attributes
    ----------
    dataset
        The data set.
    scored
        The network's outputs for its first images, by index.
    """

    dataset: Dataset
    scored: Mapping[int, Image]
    _poor: dict[int, bool] = field(default_factory=dict)

    def triple(self, index: int) -> tuple[Image, Image, Image]:
        """Return LR, the network's output for it, and HR."""
        lr, hr = self.dataset.pair(index)
        return lr, self.scored[index], hr

    def is_far_below_bicubic(self, index: int) -> bool:
        """Return whether an output is so bad that its network has no rank to gain."""
        if index not in self._poor:
            lr, scored, hr = self.triple(index)
            self._poor[index] = _mse(scored, hr) > _FAR_BELOW * _mse(upscale_bicubic(lr, self.dataset.scale), hr)
        return self._poor[index]


def _is_slow(plan: Plan, timing: TimingRecord | None) -> bool:
    """Return whether a call takes so much of the time budget that further calls for checks would take too long."""
    return timing is not None and plan.protocol.is_slow(_call_ms(timing))


def _is_long(plan: Plan, timing: TimingRecord | None) -> bool:
    """Return whether crops may be upscaled in place of a frame, and cost much less."""
    builds = BACKENDS.get(plan.request.backend).builds
    return timing is not None and plan.device.kind == "cpu" and not builds and crops_pay(_call_ms(timing))


def _call_ms(timing: TimingRecord) -> float:
    return float(np.median([ms for _, ms in timing.samples]))


def _errors_of_parts(images: _Images, parts: Sequence[TimedPart]) -> list[Errors]:
    """Compare parts of timed outputs with the images that are scored."""
    scale = images.dataset.scale
    errors: list[Errors] = []
    for index in sorted({part.origin.index for part in parts}):
        # See `_at_both_sizes`: such a network has no rank to gain.
        if images.is_far_below_bicubic(index):
            continue
        lr, scored, hr = images.triple(index)
        # At most a quarter of a side, so that something is left of small images.
        edge = scale * min(_EDGE, *(side // 4 for side in lr.shape[:2]))
        errors += [errors_of(part, scored, hr, scale, edge) for part in parts if part.origin.index == index]
    return errors


def _is_as_good(images: _Images, parts: Sequence[TimedPart], strips: Sequence[Errors]) -> bool:
    """Return whether timed outputs, of whose parts these are the strips, are certainly as good as what is scored."""
    used = sorted({part.origin.index for part in parts})
    typical = [_mse(scored, hr) for _, scored, hr in map(images.triple, used)]
    return is_as_good(strips, float(np.mean(typical or [0.0])))


def _check_whole_outputs(plan: Plan, images: _Images, worker: Session, strips: Sequence[Errors]) -> None:
    """Disqualify a slow network whose timed outputs are worse, and whose outputs for other timed frames are, too.

    It has few timed outputs, and the output of an honest network may depend on the rest of its frame.
    """
    loss = find_loss(strips)
    if loss is None:
        return
    source = FrameSource(plan.timing_frames())
    for _ in range(_CONFIRMATIONS):
        frame, origin = source.drawn()
        part = TimedPart.drawn(origin, worker.upscale(frame), source.rng)
        again = loss_db(_errors_of_parts(images, part.split()))
        if again is None or again[0] < MAX_LOSS_DB:
            return
    disqualify(f"its timed outputs are {loss:.2f} dB worse than the images that are scored: it does less when timed")


def _check_timed_parts(images: _Images, parts: Sequence[TimedPart]) -> None:
    """Disqualify a network whose timed outputs are worse than the images that are scored."""
    loss = find_loss(_errors_of_parts(images, parts))
    if loss is not None:
        disqualify(
            f"its timed outputs are {loss:.2f} dB worse than the images that are scored: it does less when timed"
        )


def _at_both_sizes(
    plan: Plan, images: _Images, upscale: Callable[[Image], Image], grid: int
) -> Iterator[tuple[Image, NDArray[np.float32], Image]]:
    """Yield images upscaled alone, the same upscaled within frames that are varied as timed ones are, and their HR.

    Compared is the inner part of what the shift leaves in one piece: at the edges a network sees other surroundings,
    which is most of a small image. Left out are images far below bicubic: such a network has no rank, and its output
    need not be in proportion to the brightness of the frame.
    """
    scale = plan.dataset.scale
    for index, frame in enumerate(plan.timing_frames()):
        lr, scored, hr = images.triple(index)
        # Its shift is replaced by one on the grid; gain and lowest bits stay random.
        drawn = draw_variation(*frame.shape[:2])
        top, left = _random_shift(frame, grid)
        # What is rolled over the lower or right edge appears at the opposite one, so only the piece before it is
        # compared.
        height = scale * min(lr.shape[0], frame.shape[0] - top)
        width = scale * min(lr.shape[1], frame.shape[1] - left)
        if images.is_far_below_bicubic(index):
            continue
        varied = upscale(vary(frame, replace(drawn, shift=(top, left))))[scale * top :, scale * left :]
        # Undo the dimming of the frame. Rounding can raise the quotient above white.
        timed = np.minimum(varied / np.float32(drawn.factor), 255)
        edge = scale * min(_EDGE, height // scale // 4, width // scale // 4)
        inner = slice(edge, height - edge), slice(edge, width - edge)
        yield scored[inner], timed[inner], hr[inner]


def _mse(image: Image, hr: Image) -> float:
    return float(np.square(image.astype(np.float32) - hr).mean())


def _random_shift(frame: Image, grid: int) -> tuple[int, int]:
    """Draw by how many pixels a frame is shifted: multiples of `grid`, because a network with strides has a grid."""
    rng = np.random.default_rng()
    most = [side // 2 // grid for side in frame.shape[:2]]
    top, left = (grid * int(rng.integers(1, blocks + 1)) if blocks else 0 for blocks in most)
    return top, left
