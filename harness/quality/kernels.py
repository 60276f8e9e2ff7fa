"""Compiled inner loops of PSNR and SSIM, in float64 and exact integers.

SSIM is computed from the sum s = x + y and the difference d = x - y of two images x and y. With the local means mu and
the local variances v,

    1 - SSIM = 1 - (1 - mu_d^2 / P) (1 - v_d / Q),   P = (mu_s^2 + mu_d^2) / 2 + C1,   Q = (v_s + v_d) / 2 + C2.

This is algebraically equal to the definition (Wang et al., 2004), but it needs four filterings (of s, d, s^2 and d^2)
instead of five and suffers no cancellation for nearly identical images. In the code, s is centred by subtracting 255,
which leaves v_s unchanged and reduces the rounding error of v_s = E[s^2] - mu_s^2.

An image is processed in tiles that fit in the processor's cache, two rows of windows at a time. Moments are accumulated
first along columns, then along rows. No array of the size of the image is allocated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from harness.quality.luma import HALF_UP
from harness.quality.reference import C1, C2

F = TypeVar("F", bound=Callable[..., Any])
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Box = tuple[int, int, int, int]
Weights = tuple[float, float, float]
Taps = tuple[float, ...]
Moments = tuple[Floats, Floats, Floats, Floats]
"""Means of s, d, s^2 and d^2."""
LumaSettings = tuple[Weights, float, bool]
"""Weights of the channels, offset, and whether luma is rounded to whole levels."""
Singles = NDArray[np.float32]
Samples = Singles | Floats

BAND = 64
"""Rows of window positions per job. It is constant, so that sums do not depend on the number of threads."""
_WIDTH = 1056
"""Samples per row of a tile, chosen such that the working set of two rows of windows fits in the L2 cache."""
_CENTRE = 255


def _compiled(function: F, *, fastmath: bool = True) -> F:
    """Compile a function on first use, with an on-disk cache if a folder is writable.

    ``fastmath`` permits reordering of sums and thereby vectorization. It is safe because no value is NaN or infinite.
    """
    # error_model="numpy" omits the test for division by zero of each quotient, and nogil lets bands run in parallel.
    try:
        return cast("F", njit(error_model="numpy", nogil=True, fastmath=fastmath, cache=True)(function))
    except RuntimeError:  # no writable cache folder, so that every process compiles the function again
        return cast("F", njit(error_model="numpy", nogil=True, fastmath=fastmath)(function))


def _compiled_exactly(function: F) -> F:
    """Compile a function such that each operation is rounded as it is written."""
    return _compiled(function, fastmath=False)


@_compiled
def _samples(x: Bytes, y: Bytes, s: Samples, d: Samples) -> None:
    """Write the centred sums and the differences of two rows; they are integers below 2^24, hence exact in float32."""
    for j in range(s.size):
        # The sum of two bytes exceeds uint8 and the difference may be negative; int16 is the narrowest type for both.
        of_x, of_y = np.int16(x[j]), np.int16(y[j])
        s[j], d[j] = np.int16(of_x + of_y - _CENTRE), np.int16(of_x - of_y)


@_compiled
def _luma(x: Bytes, y: Bytes, weights: Weights, offset: float, rounded: bool, s: Floats, d: Floats) -> None:
    """Write the centred sums and the differences of the luma of two rows of RGB samples."""
    of_red, of_green, of_blue = weights
    for j in range(s.size):
        of_x = of_red * x[3 * j] + of_green * x[3 * j + 1] + of_blue * x[3 * j + 2] + offset
        of_y = of_red * y[3 * j] + of_green * y[3 * j + 1] + of_blue * y[3 * j + 2] + offset
        if rounded:  # each image is rounded before the difference, as if it had been stored with 8 bits
            of_x, of_y = np.floor(of_x + HALF_UP), np.floor(of_y + HALF_UP)
        s[j] = of_x + of_y - _CENTRE
        d[j] = of_x - of_y
    # Luma is not an integer, so `s` and `d` are float64 here; float32 would limit SSIM to about seven digits.


@_compiled
def _down(z: Samples, taps: Taps, means: Floats, squares: Floats, count: int) -> None:
    """Filter z and z^2 along columns, for two vertically adjacent rows of windows; rows have a stride of `_WIDTH`.

    Adjacent windows have all but two image rows in common. Computing both in one pass nearly halves the loads.
    """
    radius = len(taps) // 2
    for j in range(count):
        # Centre row of the first window and of the second window, which lies one row below.
        u, v = np.float64(z[j + radius * _WIDTH]), np.float64(z[j + (radius + 1) * _WIDTH])
        mean, square = taps[radius] * u, taps[radius] * (u * u)
        next_mean, next_square = taps[radius] * v, taps[radius] * (v * v)
        for k in range(radius):  # the taps are symmetric: add samples at equal distance from the centre, then multiply
            above, below = j + k * _WIDTH, j + (2 * radius - k) * _WIDTH
            # float32 samples are converted before squaring: the square of an integer up to 255 is exact in both types,
            # but sums of squares are not.
            u, v = np.float64(z[above]), np.float64(z[below])
            mean += taps[k] * (u + v)
            square += taps[k] * (u * u + v * v)
            u, v = np.float64(z[above + _WIDTH]), np.float64(z[below + _WIDTH])
            next_mean += taps[k] * (u + v)
            next_square += taps[k] * (u * u + v * v)
        means[0, j], squares[0, j] = mean, square
        means[1, j], squares[1, j] = next_mean, next_square


@_compiled
def _loss_along(moments: Moments, count: int, step: int, taps: Taps, factor: float) -> float:
    """Filter a row of column-filtered moments along, and return its sum of 1 - SSIM.

    Horizontally adjacent pixels are `step` samples apart. Indices are unsigned because numba supports negative indices
    (counting from the end) for signed ones, and the additional branch prevents vectorization.
    """
    of_s, of_d, of_ss, of_dd = moments
    radius, apart = len(taps) // 2, np.uint64(step)
    total = 0.0
    for j in range(np.uint64(count)):
        i = j + np.uint64(radius) * apart
        s, d, ss, dd = taps[radius] * of_s[i], taps[radius] * of_d[i], taps[radius] * of_ss[i], taps[radius] * of_dd[i]
        for k in range(radius):
            left, right = j + np.uint64(k) * apart, j + np.uint64(2 * radius - k) * apart
            s += taps[k] * (of_s[left] + of_s[right])
            d += taps[k] * (of_d[left] + of_d[right])
            ss += taps[k] * (of_ss[left] + of_ss[right])
            dd += taps[k] * (of_dd[left] + of_dd[right])
        variance_s, variance_d = factor * (ss - s * s), factor * (dd - d * d)
        mean_s, square_d = s + _CENTRE, d * d  # variances do not depend on the centring, means do
        p = 0.5 * (mean_s * mean_s + square_d) + C1
        q = 0.5 * (variance_s + variance_d) + C2
        # 1 - (1 - a / p) (1 - b / q), expanded such that no two nearly equal numbers are subtracted.
        total += (square_d * q + variance_d * p - square_d * variance_d) / (p * q)
    return total


@_compiled
def _loss_of_rows(s: Samples, d: Samples, rows: int, count: int, step: int, taps: Taps, factor: float) -> float:
    """Return the sum of 1 - SSIM over `rows` rows of windows; rows of samples have a stride of `_WIDTH`."""
    inner = count - (len(taps) - 1) * step  # number of valid positions in a row of `count` samples
    # Local to the call, because several threads run this function at the same time.
    of_s, of_d, of_ss, of_dd = (
        np.empty((2, _WIDTH)),
        np.empty((2, _WIDTH)),
        np.empty((2, _WIDTH)),
        np.empty((2, _WIDTH)),
    )
    total = 0.0
    # Two rows of windows share most of their loads, see `_down`.
    for i in range(0, rows, 2):
        _down(s[i * _WIDTH :], taps, of_s, of_ss, count)
        _down(d[i * _WIDTH :], taps, of_d, of_dd, count)
        for row in range(min(2, rows - i)):
            total += _loss_along((of_s[row], of_d[row], of_ss[row], of_dd[row]), inner, step, taps, factor)
    return total


@_compiled
def ssim_loss_rgb(x: Bytes, y: Bytes, taps: Taps, factor: float, box: Box) -> float:
    """Return the sum of 1 - SSIM over a box of window positions and all three channels.

    `x` and `y` have shape (H, 3 W). `box` is (top, bottom, left, right) and selects the windows whose first row is in
    [top, bottom) and whose first column is in [left, right). Channels remain interleaved, so that horizontally adjacent
    pixels are three samples apart.
    """
    top, bottom, left, right = box
    reach = len(taps) - 1
    rows = bottom - top + reach
    # One extra row of zeros: for an odd number of rows, `_down` computes one more row of windows, which is not used.
    s, d = np.zeros((rows + 1) * _WIDTH, np.float32), np.zeros((rows + 1) * _WIDTH, np.float32)
    total = 0.0
    for start in range(3 * left, 3 * right, _WIDTH - 3 * reach):  # tiles overlap by the reach of the window
        count = min(_WIDTH, 3 * (right + reach) - start)
        for i in range(rows):
            # Only one tile of sums and differences exists at a time; it is overwritten by the next one.
            at, samples = slice(i * _WIDTH, i * _WIDTH + count), slice(start, start + count)
            _samples(x[top + i, samples], y[top + i, samples], s[at], d[at])
        total += _loss_of_rows(s, d, bottom - top, count, 3, taps, factor)
    return total


@_compiled
def ssim_loss_luma(x: Bytes, y: Bytes, taps: Taps, factor: float, box: Box, luma: LumaSettings) -> float:
    """Return the sum of 1 - SSIM over a box of window positions, on luma; see `ssim_loss_rgb`."""
    top, bottom, left, right = box
    weights, offset, rounded = luma
    reach = len(taps) - 1
    rows = bottom - top + reach
    s, d = np.zeros((rows + 1) * _WIDTH), np.zeros((rows + 1) * _WIDTH)
    total = 0.0
    for start in range(left, right, _WIDTH - reach):
        count = min(_WIDTH, right + reach - start)
        pixels = slice(3 * start, 3 * (start + count))
        for i in range(rows):
            at = slice(i * _WIDTH, i * _WIDTH + count)
            _luma(x[top + i, pixels], y[top + i, pixels], weights, offset, rounded, s[at], d[at])
        total += _loss_of_rows(s, d, bottom - top, count, 1, taps, factor)
    return total


@_compiled
def cross_products(x: Bytes, y: Bytes, box: Box) -> tuple[np.int64, ...]:
    """Return the integer sums of d_r^2, d_g^2, d_b^2, d_r d_g, d_r d_b, d_g d_b over a box of pixels.

    They determine the mean squared error of RGB and, as a quadratic form in its weights, of any unrounded luma.
    """
    top, bottom, left, right = box
    rr = gg = bb = rg = rb = gb = np.int64(0)  # at 4K, the sums exceed 32 bits
    for i in range(top, bottom):
        u, v = x[i, 3 * left : 3 * right], y[i, 3 * left : 3 * right]
        for j in range(u.size // 3):
            # Differences of unsigned integers would wrap around; int32 also holds the products of two differences.
            r = np.int32(u[3 * j]) - np.int32(v[3 * j])
            g = np.int32(u[3 * j + 1]) - np.int32(v[3 * j + 1])
            b = np.int32(u[3 * j + 2]) - np.int32(v[3 * j + 2])
            rr += r * r
            gg += g * g
            bb += b * b
            rg += r * g
            rb += r * b
            gb += g * b
    return rr, gg, bb, rg, rb, gb


@_compiled
def rounded_luma_error(x: Bytes, y: Bytes, box: Box, weights: Weights, offset: float) -> float:
    """Return the sum of squared differences of the rounded luma over a box of pixels, which is an exact integer."""
    top, bottom, left, right = box
    of_red, of_green, of_blue = weights
    total = 0.0
    for i in range(top, bottom):
        u, v = x[i, 3 * left : 3 * right], y[i, 3 * left : 3 * right]
        for j in range(u.size // 3):
            of_x = np.floor(of_red * u[3 * j] + of_green * u[3 * j + 1] + of_blue * u[3 * j + 2] + offset + HALF_UP)
            of_y = np.floor(of_red * v[3 * j] + of_green * v[3 * j + 1] + of_blue * v[3 * j + 2] + offset + HALF_UP)
            total += (of_x - of_y) * (of_x - of_y)
    return total


@_compiled_exactly
def script_luma_errors(x: Bytes, y: Bytes, weights: Weights, offset: float, errors: Singles) -> None:
    """Write the squared differences of the luma of two images, with the float32 arithmetic of `luma.script_luma`.

    Parameters
    ----------
    x, y
        Rows of RGB samples, H x 3 W.
    weights, offset
        Of luma, for values in [0, 1].
    errors
        H x W; receives the squared differences.
    """
    of_red, of_green, of_blue = weights
    white, whole = np.float32(255), 255.0
    for i in range(errors.shape[0]):
        u, v, row = x[i], y[i], errors[i]
        for j in range(row.size):
            red, green, blue = u[3 * j] / white, u[3 * j + 1] / white, u[3 * j + 2] / white
            of_x = np.float32((red * of_red + green * of_green + blue * of_blue + offset) / whole) * white
            red, green, blue = v[3 * j] / white, v[3 * j + 1] / white, v[3 * j + 2] / white
            of_y = np.float32((red * of_red + green * of_green + blue * of_blue + offset) / whole) * white
            row[j] = (of_x - of_y) * (of_x - of_y)
