"""Images at the size that is timed are as good as at the size that is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from harness.run.plan import Plan
from harness.timing.checks import check_timed_size

Image = NDArray[np.uint8]

_GRID = 16  # pixels: a multiple of the strides of networks that take any size


def check_quality_at_timed_size(plan: Plan, upscale: Callable[[Image], Image], size_multiple: int) -> None:
    """Disqualify a network that does less work at the size that is timed than at the size that is scored.

    Parameters
    ----------
    plan
        The run: data set and timed size.
    upscale
        The network, on one LR image.
    size_multiple
        The network pads its input to a multiple of this.

    Raises
    ------
    WorkerError
        Of the kind `DISQUALIFIED`.
    """
    check_timed_size(_at_both_sizes(plan, upscale, math.lcm(_GRID, size_multiple)))


def _at_both_sizes(plan: Plan, upscale: Callable[[Image], Image], grid: int) -> Iterator[tuple[Image, Image, Image]]:
    """Yield images upscaled alone, the same upscaled within frames that are shifted as timed ones are, and their HR.

    Compared is the part that the shift leaves in one piece: at the frame's edge a network sees another border.
    """
    scale = plan.dataset.scale
    for index, frame in enumerate(plan.timing_frames()):
        lr, hr = plan.dataset.pair(index)
        if lr.shape == frame.shape:
            continue
        top, left = _random_shift(frame, grid)
        height = scale * min(lr.shape[0], frame.shape[0] - top)
        width = scale * min(lr.shape[1], frame.shape[1] - left)
        scored = upscale(lr)
        timed = upscale(np.roll(frame, (top, left), axis=(0, 1)))[scale * top :, scale * left :]
        yield scored[:height, :width], timed[:height, :width], hr[:height, :width]


def _random_shift(frame: Image, grid: int) -> tuple[int, int]:
    """Draw by how many pixels a frame is shifted: multiples of `grid`, because a network with strides has a grid."""
    rng = np.random.default_rng()
    most = [side // 2 // grid for side in frame.shape[:2]]
    top, left = (grid * int(rng.integers(1, blocks + 1)) if blocks else 0 for blocks in most)
    return top, left
