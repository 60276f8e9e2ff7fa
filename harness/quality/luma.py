"""Four conversions from RGB to Y that publications use; PSNR on Y differs between them by up to 1.3 dB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HALF_UP = 0.5 + 1e-6
"""Added before `floor` to round half up. All luma values are multiples of 1/255000 or 1/65536, so that the additional
1e-6 changes the result only for exact halves, which rounding errors of float64 might otherwise round down."""


@dataclass(frozen=True, slots=True)
class Luma:
    """A linear conversion from 8-bit RGB to one luma value, ``weights . (R, G, B) + offset``.

    Attributes
    ----------
    name
        Identifier, the value of ``y_convention``.
    description
        Description as a noun phrase.
    weights
        Weights of red, green and blue, for values from 0 to 255.
    offset
        Offset added to the weighted sum.
    rounded
        Whether the value is rounded half up to an integer, as in an 8-bit image.
    single_precision
        Whether luma and its mean squared error are computed in float32, as in the released script. PSNR then differs
        from that in float64 by about 1e-6 dB on photographs and 3e-5 dB on flat images.
    """

    name: str
    description: str
    weights: tuple[float, float, float]
    offset: float
    rounded: bool = False
    single_precision: bool = False


# Weights of MATLAB's rgb2ycbcr for values from 0 to 255: 0.299, 0.587 and 0.114 times 219 / 255.
_STUDIO = (65.481 / 255, 128.553 / 255, 24.966 / 255)

BT601 = Luma("bt601", "Y of BT.601 in studio range (16 to 235), unrounded", _STUDIO, 16.0)
BT601_ROUNDED = Luma(
    "bt601-rounded", "Y of BT.601 in studio range (16 to 235), rounded to integers", _STUDIO, 16.0, rounded=True
)
FULL_RANGE = Luma(
    "full-range",
    "8-bit luma of BT.601 in full range (0 to 255), as in Pillow's mode L and OpenCV's YCrCb",
    (19595 / 65536, 38470 / 65536, 7471 / 65536),  # the fixed-point weights of Pillow
    0.0,
    rounded=True,
)
SWAPPED = Luma(
    "ntire23",
    "Y of BT.601 in studio range with the weights of red and blue swapped, in float32, as in the 2023 scripts",
    (_STUDIO[2], _STUDIO[1], _STUDIO[0]),
    16.0,
    single_precision=True,
)

LUMAS = {luma.name: luma for luma in (BT601, BT601_ROUNDED, FULL_RANGE, SWAPPED)}


def luma_plane(image: NDArray[np.uint8], luma: Luma) -> NDArray[np.float64]:
    """Return the luma of an image of shape (H, W, 3), uint8, as a float64 array of shape (H, W).

    This is the reference definition; the compiled kernels compute the same values.
    """
    red, green, blue = np.moveaxis(image.astype(np.float64), 2, 0)
    of_red, of_green, of_blue = luma.weights
    plane: NDArray[np.float64] = of_red * red + of_green * green + of_blue * blue + luma.offset
    return np.floor(plane + HALF_UP) if luma.rounded else plane


def script_luma(image: NDArray[np.uint8], luma: Luma) -> NDArray[np.float32]:
    """Return the luma with the float32 arithmetic of scripts derived from BasicSR, which scale to [0, 1] and back.

    This is the reference definition; a compiled kernel computes the same values.
    """
    # The order of operations and the type of each step are those of the scripts; they determine the last digits.
    unit = image.astype(np.float32) / np.float32(255)
    weights = np.array(luma.weights) * 255.0
    plane = ((unit.astype(np.float64) @ weights + luma.offset) / 255.0).astype(np.float32)
    return plane * np.float32(255)
