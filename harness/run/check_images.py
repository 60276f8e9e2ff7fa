"""Small images for ``harness check``: the most detailed parts of two embedded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data import get_degradation, open_dataset

IMAGE_SIDE = 64
"""Side of the LR images, pixels."""

_IMAGES = 2
_STEP = 16  # between the parts that are compared, pixels


def write_images(folder: Path, scale: int) -> None:
    """Write two HR images into a folder, whose sides are `IMAGE_SIDE` times the scale.

    They are real, because networks are compared on them, and full of detail: in a sky, a network that interpolates is
    as good as one that does nothing. Where an embedded image is too small for the scale, it is enlarged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = open_dataset("embedded", 2, get_degradation("bicubic"))
    side = IMAGE_SIDE * scale
    for index in range(_IMAGES):
        _, hr = source.pair(index)
        part = most_detailed(hr, min(side, *hr.shape[:2]))
        Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index}.png")


def most_detailed(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the square part of an image, H x W x 3, whose neighbouring pixels differ most.

    Parameters
    ----------
    image
        The image; no side is below `side`.
    side
        Height and width of the part, pixels.
    """
    grey = image.astype(np.int64).sum(axis=2)
    # The sum of a part is the difference of four sums that begin in the corner of the image.
    sums = np.zeros(image.shape[:2], np.int64)
    sums[1:, 1:] = (np.abs(np.diff(grey, axis=0))[:, 1:] + np.abs(np.diff(grey, axis=1))[1:]).cumsum(0).cumsum(1)
    last = side - 1
    inside = sums[last:, last:] - sums[last:, : -last or None] - sums[: -last or None, last:]
    inside = (inside + sums[: -last or None, : -last or None])[::_STEP, ::_STEP]
    row, column = (_STEP * int(at) for at in np.unravel_index(np.argmax(inside), inside.shape))
    return np.ascontiguousarray(image[row : row + side, column : column + side])
