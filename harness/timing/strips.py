"""Strips: small parts of the output of every timed call, by which any of them can be compared with an untimed one.

The worker takes them as soon as the clock has stopped, at places that it draws then, and sends them with the times. The
controller draws afterwards which call it compares. Keeping whole outputs, 100 MB each at 4K, would disturb the timing.

The worker imports this module, so it imports nothing of the controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRIPS = 8
"""Number of strips of one output."""
_WIDTH = 512  # pixels
_MAX_BYTES = 64 << 20  # of all strips of one request


@dataclass(frozen=True, slots=True)
class Strips:
    """Parts of one output.

    Attributes
    ----------
    places
        Row and first column of each strip in the output, STRIPS x 2.
    values
        STRIPS x width x 3, in levels (0 to 255), not rounded.
    """

    places: NDArray[np.int64]
    values: NDArray[np.float32]

    def rounded(self) -> NDArray[np.float32]:
        """Return the values as an image has them, rounded and between 0 and 255."""
        return np.clip(np.rint(self.values), 0, 255)

    def of(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the same parts of an image, H x W x 3."""
        width = self.values.shape[1]
        return np.stack([image[row, column : column + width] for row, column in self.places]).astype(np.float32)


def draw_strips(image: NDArray[np.uint8], rng: np.random.Generator, number: int = STRIPS) -> Strips:
    """Return so many strips of an image, H x W x 3, at random places."""
    height, columns, _ = image.shape
    width = min(_WIDTH, columns)
    rows, lefts = rng.integers(height, size=number), rng.integers(columns - width + 1, size=number)
    strips = Strips(np.stack([rows, lefts], axis=1), np.empty((number, width, 3), np.float32))
    return Strips(strips.places, strips.of(image))


def strip_width(widths: Sequence[int], calls: int, scale: int) -> int:
    """Return the width of the strips that a request asks for, pixels.

    Parameters
    ----------
    widths
        Widths of the frames of the request, pixels.
    calls
        Largest number of calls, on which the size of the reply depends.
    scale
        Upscaling factor.
    """
    fitting = _MAX_BYTES // (max(calls, 1) * STRIPS * 3 * 4)
    return max(1, min(_WIDTH, fitting, scale * min(widths)))


def read_strips(
    arrays: Sequence[NDArray[np.float32]], sizes: Sequence[tuple[int, int]], width: int, value_range: float
) -> list[Strips]:
    """Return the strips of each call from the arrays of a reply, which may hold anything.

    Parameters
    ----------
    arrays
        Places, calls x STRIPS x 2, and values, calls x STRIPS x 3 x width, in the network's value range; both float32.
    sizes
        Height and width of the output of each call, pixels.
    width
        Width of the strips, pixels.
    value_range
        Value of white.

    Raises
    ------
    ValueError
        The arrays have other shapes, or a place is not in its output.
    """
    expected = [(len(sizes), STRIPS, 2), (len(sizes), STRIPS, 3, width)]
    if [array.shape for array in arrays] != expected or any(array.dtype != np.float32 for array in arrays):
        raise ValueError(f"arrays of {[array.shape for array in arrays][:4]} instead of {expected}")
    # Messages carry no integers wider than uint8; float32 represents places below 2**24 exactly.
    places, values = arrays
    most = np.array(sizes, np.float32)[:, np.newaxis] - np.array([1, width], np.float32)
    if not ((places >= 0) & (places <= most) & (places == np.floor(places))).all():
        raise ValueError("parts of an image that are not in it")
    levels = values.transpose(0, 1, 3, 2) * np.float32(255 / value_range)
    return [Strips(*one) for one in zip(places.astype(np.int64), levels, strict=True)]
