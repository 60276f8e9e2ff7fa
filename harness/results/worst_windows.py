"""Find where two images differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""H x W x 3, uint8."""


def worst_windows(hr: Image, reference: Image, size: int, count: int) -> list[tuple[int, int, int, int]]:
    """Return up to `count` squares without overlap, in order of decreasing squared error.

    Squares are placed on a grid of a quarter of their size, which makes the search fast and its result stable.

    Parameters
    ----------
    hr, reference
        Images to compare, H x W x 3, uint8.
    size
        Width and height of a square; smaller if the image is.
    count
        Largest number of squares.

    Returns
    -------
    list of tuple
        ``(y, x, height, width)`` of each square.
    """
    height, width = min(size, hr.shape[0]), min(size, hr.shape[1])
    # Summed-area table: the error of every square is computed from four entries.
    loss = np.square(hr.astype(np.int32) - reference.astype(np.int32)).sum(axis=2, dtype=np.int64)
    table = np.pad(loss.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    tops, lefts = _starts(hr.shape[0], height), _starts(hr.shape[1], width)
    ends_y, ends_x = tops + height, lefts + width
    # Bottom right minus top right minus bottom left, plus top left, which was subtracted twice.
    sums = table[np.ix_(ends_y, ends_x)] - table[np.ix_(tops, ends_x)] - table[np.ix_(ends_y, lefts)]
    sums = sums + table[np.ix_(tops, lefts)]
    found: list[tuple[int, int, int, int]] = []
    while len(found) < count and sums.max() >= 0:
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        top, left = int(tops[row]), int(lefts[column])
        found.append((top, left, height, width))
        # Exclude all squares that overlap the chosen one.
        near = np.ix_(np.abs(tops - top) < height, np.abs(lefts - left) < width)
        # Squared errors are not negative, so that -1 is never the maximum again.
        sums[near] = -1
    return found


def _starts(length: int, size: int) -> NDArray[np.int64]:
    # The last square ends at the border, whatever the remainder of the grid.
    steps: Sequence[int] = [*range(0, length - size, max(1, size // 4)), length - size]
    return np.array(steps, dtype=np.int64)
