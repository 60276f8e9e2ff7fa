"""Find an image that is a smaller copy of another one, by content and not by name alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.images import image_name, image_size, read_rgb
from harness.errors import DataError

Size = tuple[int, int]

_ALIKE = 0.9
"""Correlation of an LR image with its downscaled HR image, at least. Different images that are as much alike and have
related names are frames of one video, which have the same size."""
# Pairs of images that are decoded at most; the data set may hold large images.
_MOST_COMPARED = 8
_SIDE = 64  # of the thumbnails that are compared, pixels


def smaller_copy(paths: Sequence[Path], fits: Callable[[Size, Size], bool]) -> tuple[Path, Path] | None:
    """Return an image that is a smaller copy of another one with a related name, and that one; None if there is none.

    Parameters
    ----------
    paths
        Image files. Those that cannot be read are left out.
    fits
        Returns whether an image of the first size, rows and columns, can be the large one of an image of the second.
    """
    sizes = [(path, size) for path in paths if (size := _size_of(path)) is not None]
    if len({size for _, size in sizes}) < 2:  # all of one size
        return None
    # A generator, so that no more pairs are formed than are compared.
    pairs = (
        (small, large)
        for small, its_size in sizes
        for large, size in sizes
        if fits(size, its_size) and _are_related(image_name(small), image_name(large))
    )
    return next((pair for pair in islice(pairs, _MOST_COMPARED) if _are_alike(*pair)), None)


def _size_of(path: Path) -> Size | None:
    try:
        return image_size(path)
    except DataError:  # reported when the image is read
        return None


def _are_related(one: str, other: str) -> bool:
    """Return whether two names begin and end alike in at least half of the shorter one, as hr_a and lr_a do."""
    one, other = one.casefold(), other.casefold()
    start = _length_alike(one, other)
    end = _length_alike(one[start:][::-1], other[start:][::-1])
    return 2 * (start + end) >= min(len(one), len(other))


def _length_alike(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their start."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))


def _are_alike(small: Path, large: Path) -> bool:
    """Return whether two images show the same, by the correlation of their thumbnails."""
    try:
        one, other = _thumbnail(small), _thumbnail(large)
    except DataError:
        return False
    # The correlation of a constant image is not defined.
    spread = float(one.std() * other.std())
    return spread > 0 and float(((one - one.mean()) * (other - other.mean())).mean()) > _ALIKE * spread


def _thumbnail(path: Path) -> NDArray[np.float64]:
    image = Image.fromarray(read_rgb(path)).convert("L")
    return np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
