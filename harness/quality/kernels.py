"""The compiled inner loops of PSNR and SSIM, in float64 and exact integers.

SSIM is computed from the sum s = x + y - 255 and the difference d = x - y of two images. With mu the local means and v
the local variances, and without the centring,

    1 - SSIM = 1 - (1 - mu_d^2 / P) (1 - v_d / Q),   P = (mu_s^2 + mu_d^2) / 2 + C1,   Q = (v_s + v_d) / 2 + C2,

which needs four filterings instead of five, and loses no digits where the images are nearly the same. An image is
worked through in tiles that fit in the processor's cache: each window row's moments are first taken down the columns,
then along the row; nothing of the image's size is ever allocated.
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
Shorts = NDArray[np.int16]
Words = NDArray[np.uint16]

BAND = 64
"""Rows of SSIM that one job computes: sums do not depend on the number of threads."""
_WIDTH = 1034
"""Columns of a tile: a multiple of a vector register's samples, and the reach of an 11-tap window."""
_CENTRE = 255


def _compiled(function: F) -> F:
    """Compile on first use, and keep the result on disk where a folder can be written.

    Fast mathematics lets sums use vector registers; nothing here is NaN or infinite.
    """
    try:
        return cast("F", njit(error_model="numpy", nogil=True, fastmath=True, cache=True)(function))
    except RuntimeError:  # a read-only installation without a home: compile in every process
        return cast("F", njit(error_model="numpy", nogil=True, fastmath=True)(function))


@_compiled
def _channel(x: Bytes, y: Bytes, channel: int, s: Shorts, d: Shorts, ss: Words, dd: Words) -> None:
    """Write s, d, s^2 and d^2 of one channel of a row of RGB; with |s| and |d| at most 255, squares fit in 16 bits."""
    for j in range(s.size):
        of_x, of_y = np.int16(x[3 * j + channel]), np.int16(y[3 * j + channel])
        total, difference = np.int16(of_x + of_y - _CENTRE), np.int16(of_x - of_y)
        s[j], d[j] = total, difference
        ss[j], dd[j] = np.uint16(total * total), np.uint16(difference * difference)


@_compiled
def _luma(x: Bytes, y: Bytes, weights: Weights, offset: float, rounded: bool, s: Floats, d: Floats) -> None:
    """Write the centred sums and the differences of the luma of a row of RGB."""
    of_red, of_green, of_blue = weights
    for j in range(s.size):
        of_x = of_red * x[3 * j] + of_green * x[3 * j + 1] + of_blue * x[3 * j + 2] + offset
        of_y = of_red * y[3 * j] + of_green * y[3 * j + 1] + of_blue * y[3 * j + 2] + offset
        if rounded:
            of_x, of_y = np.floor(of_x + HALF_UP), np.floor(of_y + HALF_UP)
        s[j] = of_x + of_y - _CENTRE
        d[j] = of_x - of_y


@_compiled
def _down_signed(plane: Shorts, taps: Taps, moment: Floats, count: int) -> None:
    """Filter 16-bit samples down the columns of rows that lie `_WIDTH` samples apart.

    Rows at one distance from the middle have one weight: their sum is exact in integers, which halves the conversions
    and products in float64.
    """
    radius = len(taps) // 2
    for j in range(count):
        total = taps[radius] * np.float64(plane[j + radius * _WIDTH])
        for k in range(radius):
            pair = np.int16(plane[j + k * _WIDTH] + plane[j + (2 * radius - k) * _WIDTH])
            total += taps[k] * np.float64(pair)
        moment[j] = total


@_compiled
def _down_squares(plane: Words, taps: Taps, moment: Floats, count: int) -> None:
    """Do as `_down_signed` does, on unsigned samples whose sums need 17 bits."""
    radius = len(taps) // 2
    for j in range(count):
        total = taps[radius] * np.float64(plane[j + radius * _WIDTH])
        for k in range(radius):
            pair = np.int32(np.int32(plane[j + k * _WIDTH]) + np.int32(plane[j + (2 * radius - k) * _WIDTH]))
            total += taps[k] * np.float64(pair)
        moment[j] = total


@_compiled
def _down(s: Floats, d: Floats, taps: Taps, moments: Floats, count: int) -> None:
    """Filter s, d, s^2 and d^2 down the columns of rows that lie `_WIDTH` samples apart, in float64."""
    radius = len(taps) // 2
    of_s, of_d, of_ss, of_dd = moments[0], moments[1], moments[2], moments[3]
    for j in range(count):
        u, v = s[j + radius * _WIDTH], d[j + radius * _WIDTH]
        sum_s, sum_d, sum_ss, sum_dd = taps[radius] * u, taps[radius] * v, taps[radius] * u * u, taps[radius] * v * v
        for k in range(radius):
            above, below = j + k * _WIDTH, j + (2 * radius - k) * _WIDTH
            u, v, p, q = s[above], d[above], s[below], d[below]
            sum_s += taps[k] * (u + p)
            sum_d += taps[k] * (v + q)
            sum_ss += taps[k] * (u * u + p * p)
            sum_dd += taps[k] * (v * v + q * q)
        of_s[j], of_d[j], of_ss[j], of_dd[j] = sum_s, sum_d, sum_ss, sum_dd


@_compiled
def _loss_along(moments: Floats, count: int, taps: Taps, factor: float) -> float:
    """Filter a row of column-filtered moments along, and return its sum of 1 - SSIM."""
    radius = len(taps) // 2
    of_s, of_d, of_ss, of_dd = moments[0], moments[1], moments[2], moments[3]
    total = 0.0
    for j in range(count):
        i = j + radius
        s, d, ss, dd = taps[radius] * of_s[i], taps[radius] * of_d[i], taps[radius] * of_ss[i], taps[radius] * of_dd[i]
        for k in range(radius):
            left, right = j + k, j + 2 * radius - k
            s += taps[k] * (of_s[left] + of_s[right])
            d += taps[k] * (of_d[left] + of_d[right])
            ss += taps[k] * (of_ss[left] + of_ss[right])
            dd += taps[k] * (of_dd[left] + of_dd[right])
        variance_s, variance_d = factor * (ss - s * s), factor * (dd - d * d)
        mean_s, square_d = s + _CENTRE, d * d
        p = 0.5 * (mean_s * mean_s + square_d) + C1
        q = 0.5 * (variance_s + variance_d) + C2
        total += (square_d * q + variance_d * p - square_d * variance_d) / (p * q)
    return total


@_compiled
def ssim_loss_rgb(x: Bytes, y: Bytes, taps: Taps, factor: float, box: Box) -> float:
    """Return the sum of 1 - SSIM over a box of window positions, all three channels.

    `x` and `y` are H x 3W; `box` is (top, bottom, left, right): windows whose first row is in [top, bottom) and whose
    first column is in [left, right).
    """
    top, bottom, left, right = box
    reach = len(taps) - 1
    rows = bottom - top + reach
    s, d = np.empty(rows * _WIDTH, np.int16), np.empty(rows * _WIDTH, np.int16)
    ss, dd = np.empty(rows * _WIDTH, np.uint16), np.empty(rows * _WIDTH, np.uint16)
    moments = np.empty((4, _WIDTH))
    total = 0.0
    for start in range(left, right, _WIDTH - reach):
        count = min(_WIDTH, right + reach - start)
        pixels = slice(3 * start, 3 * (start + count))
        for channel in range(3):
            for i in range(rows):
                at = slice(i * _WIDTH, i * _WIDTH + count)
                _channel(x[top + i, pixels], y[top + i, pixels], channel, s[at], d[at], ss[at], dd[at])
            for i in range(bottom - top):
                start_row = i * _WIDTH
                _down_signed(s[start_row:], taps, moments[0], count)
                _down_signed(d[start_row:], taps, moments[1], count)
                _down_squares(ss[start_row:], taps, moments[2], count)
                _down_squares(dd[start_row:], taps, moments[3], count)
                total += _loss_along(moments, count - reach, taps, factor)
    return total


@_compiled
def ssim_loss_luma(
    x: Bytes, y: Bytes, taps: Taps, factor: float, box: Box, weights: Weights, offset: float, rounded: bool
) -> float:
    """Return the sum of 1 - SSIM over a box of window positions, on luma; see `ssim_loss_rgb`."""
    top, bottom, left, right = box
    reach = len(taps) - 1
    rows = bottom - top + reach
    s, d = np.empty(rows * _WIDTH), np.empty(rows * _WIDTH)
    moments = np.empty((4, _WIDTH))
    total = 0.0
    for start in range(left, right, _WIDTH - reach):
        count = min(_WIDTH, right + reach - start)
        pixels = slice(3 * start, 3 * (start + count))
        for i in range(rows):
            at = slice(i * _WIDTH, i * _WIDTH + count)
            _luma(x[top + i, pixels], y[top + i, pixels], weights, offset, rounded, s[at], d[at])
        for i in range(bottom - top):
            _down(s[i * _WIDTH :], d[i * _WIDTH :], taps, moments, count)
            total += _loss_along(moments, count - reach, taps, factor)
    return total


@_compiled
def cross_products(x: Bytes, y: Bytes, box: Box) -> tuple[np.int64, ...]:
    """Return the integer sums of d_r^2, d_g^2, d_b^2, d_r d_g, d_r d_b, d_g d_b over a box of pixels.

    All mean squared errors follow from them exactly: of RGB, and of any luma that is not rounded.
    """
    top, bottom, left, right = box
    rr = gg = bb = rg = rb = gb = np.int64(0)
    for i in range(top, bottom):
        u, v = x[i, 3 * left : 3 * right], y[i, 3 * left : 3 * right]
        for j in range(u.size // 3):
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
    """Return the sum of squared differences of the rounded lumas over a box of pixels: an integer."""
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
