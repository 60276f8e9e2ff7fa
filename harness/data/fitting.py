"""Cut HR images to the size of given LR or SR images.

Their authors cropped HR to a multiple of the scale first, usually at the top left as ``mod_crop`` of MATLAB and
BasicSR does. Scripts that crop the centre exist too, such as the challenge's ``prepare_data.py``. Both give the same
size, but pixels that are displaced against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.crop import crop_at

Array = NDArray[np.uint8]
Cut = Literal["none", "top left", "centre"]

_CLEARLY_SMALLER = 0.97
"""Ratio of mean squared errors below which the centre is chosen. A displacement by one pixel changes them by more, on
photographs compressed with JPEG quality 10 too."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An HR image that was cut.

    Attributes
    ----------
    hr
        The pixels, H x W x 3, uint8.
    cut
        Where they are in the whole image.
    """

    hr: Array
    cut: Cut


def fit_to_lr(hr: Array, lr: Array, scale: int) -> Fitted:
    """Cut HR to `scale` times the size of its LR image; the offset is where downscaled HR resembles LR more.

    Raises
    ------
    ValueError
        HR is smaller than that.
    """

    def error(crop: Array) -> float:
        # One filter serves for all degradations, because only offsets are compared.
        shrunk = Image.fromarray(crop).resize((lr.shape[1], lr.shape[0]), Image.Resampling.BICUBIC)
        return _mean_squared_error(np.asarray(shrunk), lr)

    return _fit(hr, (lr.shape[0] * scale, lr.shape[1] * scale), error)


def fit_to_sr(hr: Array, sr: Array) -> Fitted:
    """Cut HR to the size of its SR image; the offset is where both resemble each other more.

    Raises
    ------
    ValueError
        HR is smaller than SR.
    """
    return _fit(hr, (sr.shape[0], sr.shape[1]), lambda crop: _mean_squared_error(crop, sr))


def is_in_doubt(rest: tuple[int, int]) -> bool:
    """Return whether a crop at the top left differs from one at the centre, if `rest` rows and columns are cut off."""
    return len(_offsets(rest)) > 1


def _offsets(rest: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the offsets of the crops to try: the top left, and the centre with half a pixel rounded either way."""
    # torchvision's center_crop rounds half a pixel to the nearest even number, other scripts round it down.
    rounded, floored = (round(rest[0] / 2), round(rest[1] / 2)), (rest[0] // 2, rest[1] // 2)
    return list(dict.fromkeys([(0, 0), rounded, floored]))


def _fit(hr: Array, size: tuple[int, int], error: Callable[[Array], float]) -> Fitted:
    rest = hr.shape[0] - size[0], hr.shape[1] - size[1]
    if rest == (0, 0):
        return Fitted(hr, "none")
    crops = [crop_at(hr, offset, size) for offset in _offsets(rest)]
    chosen = _clearly_best([error(crop) for crop in crops]) if len(crops) > 1 else 0
    return Fitted(crops[chosen], "centre" if chosen else "top left")


def _clearly_best(errors: Sequence[float]) -> int:
    """Return the position of the smallest error, or 0 if it is not clearly smaller than the first."""
    # In doubt the first offset is kept: the top left is the usual crop.
    best = min(range(len(errors)), key=errors.__getitem__)
    return best if errors[best] < _CLEARLY_SMALLER * errors[0] else 0


def _mean_squared_error(one: Array, other: Array) -> float:
    return float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
