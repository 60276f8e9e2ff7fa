"""The compiled inner loops of PSNR and SSIM, in float64 and exact integers.

SSIM is computed from the sum s = x + y - 256 and the difference d = x - y of two images. With mu the local means and v
the local variances, and without the centring,

    1 - SSIM = 1 - (1 - mu_d^2 / P) (1 - v_d / Q),   P = (mu_s^2 + mu_d^2) / 2 + C1,   Q = (v_s + v_d) / 2 + C2,

which needs four filterings instead of five, and loses no digits where the images are nearly the same. An image is
worked through in tiles that fit in the processor's cache: each row is filtered along, then each column of the
filtered rows; nothing of the image's size is ever allocated.
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

BAND = 64
"""Rows of SSIM that one job computes: sums do not depend on the number of threads."""
_TILE = 384
_CENTRE = 256.0


def _compiled(function: F) -> F:
    """Compile on first use; `reassoc` lets sums use vector registers, and nothing here is NaN or infinite."""
    return cast("F", njit(error_model="numpy", nogil=True, fastmath=True, cache=True)(function))


@_compiled
def _along_rgb(source: Floats, target: Floats, taps: tuple[float, ...]) -> None:
    """Filter interleaved RGB samples: neighbours of one channel are three apart."""
    radius = len(taps) // 2
    for j in range(target.size):
        total = taps[radius] * source[j + 3 * radius]
        for k in range(radius):
            total += taps[k] * (source[j + 3 * k] + source[j + 3 * (2 * radius - k)])
        target[j] = total


@_compiled
def _along(source: Floats, target: Floats, taps: tuple[float, ...]) -> None:
    radius = len(taps) // 2
    for j in range(target.size):
        total = taps[radius] * source[j + radius]
        for k in range(radius):
            total += taps[k] * (source[j + k] + source[j + 2 * radius - k])
        target[j] = total


@_compiled
def _down(source: Floats, target: Floats, taps: tuple[float, ...]) -> None:
    """Filter down the columns of rows that lie `_TILE` samples apart."""
    radius = len(taps) // 2
    for j in range(target.size):
        total = taps[radius] * source[j + radius * _TILE]
        for k in range(radius):
            total += taps[k] * (source[j + k * _TILE] + source[j + (2 * radius - k) * _TILE])
        target[j] = total


@_compiled
def _moments(x: Bytes, y: Bytes, line: Floats) -> None:
    s, d, ss, dd = line[0], line[1], line[2], line[3]
    for j in range(x.size):
        total = float(x[j]) + float(y[j]) - _CENTRE
        difference = float(x[j]) - float(y[j])
        s[j], d[j], ss[j], dd[j] = total, difference, total * total, difference * difference


@_compiled
def _luma_moments(x: Bytes, y: Bytes, line: Floats, weights: Weights, offset: float, rounded: bool) -> None:
    s, d, ss, dd = line[0], line[1], line[2], line[3]
    of_red, of_green, of_blue = weights
    for j in range(x.size // 3):
        of_x = of_red * x[3 * j] + of_green * x[3 * j + 1] + of_blue * x[3 * j + 2] + offset
        of_y = of_red * y[3 * j] + of_green * y[3 * j + 1] + of_blue * y[3 * j + 2] + offset
        if rounded:
            of_x, of_y = np.floor(of_x + HALF_UP), np.floor(of_y + HALF_UP)
        total, difference = of_x + of_y - _CENTRE, of_x - of_y
        s[j], d[j], ss[j], dd[j] = total, difference, total * total, difference * difference


@_compiled
def _loss(means: Floats, count: int, factor: float) -> float:
    """Return the sum of 1 - SSIM over a row of filtered moments."""
    s, d, ss, dd = means[0], means[1], means[2], means[3]
    total = 0.0
    for j in range(count):
        variance_s = ss[j] - s[j] * s[j]
        variance_d = factor * (dd[j] - d[j] * d[j])
        mean_s, square_d = s[j] + _CENTRE, d[j] * d[j]
        p = 0.5 * (mean_s * mean_s + square_d) + C1
        q = 0.5 * (factor * variance_s + variance_d) + C2
        total += (square_d * q + variance_d * p - square_d * variance_d) / (p * q)
    return total


@_compiled
def ssim_loss_rgb(x: Bytes, y: Bytes, taps: tuple[float, ...], factor: float, box: Box) -> float:
    """Return the sum of 1 - SSIM over a box of window positions, all three channels.

    `x` and `y` are H x 3W; `box` is (top, bottom, left, right): windows whose first row is in [top, bottom) and whose
    first column is in [left, right).
    """
    reach = len(taps) - 1
    top, bottom, left, right = box
    line = np.empty((4, _TILE + 3 * reach))
    rows = np.empty((4, (bottom - top + reach) * _TILE))
    means = np.empty((4, _TILE))
    total = 0.0
    for start in range(3 * left, 3 * right, _TILE):
        count = min(_TILE, 3 * right - start)
        for i in range(bottom - top + reach):
            end = start + count + 3 * reach
            _moments(x[top + i, start:end], y[top + i, start:end], line)
            for moment in range(4):
                _along_rgb(line[moment], rows[moment, i * _TILE : i * _TILE + count], taps)
        for i in range(bottom - top):
            for moment in range(4):
                _down(rows[moment, i * _TILE :], means[moment, :count], taps)
            total += _loss(means, count, factor)
    return total


@_compiled
def ssim_loss_luma(
    x: Bytes,
    y: Bytes,
    taps: tuple[float, ...],
    factor: float,
    box: Box,
    weights: Weights,
    offset: float,
    rounded: bool,
) -> float:
    """Return the sum of 1 - SSIM over a box of window positions, on luma; see `ssim_loss_rgb`."""
    reach = len(taps) - 1
    top, bottom, left, right = box
    line = np.empty((4, _TILE + reach))
    rows = np.empty((4, (bottom - top + reach) * _TILE))
    means = np.empty((4, _TILE))
    total = 0.0
    for start in range(left, right, _TILE):
        count = min(_TILE, right - start)
        for i in range(bottom - top + reach):
            begin, end = 3 * start, 3 * (start + count + reach)
            _luma_moments(x[top + i, begin:end], y[top + i, begin:end], line, weights, offset, rounded)
            for moment in range(4):
                _along(line[moment], rows[moment, i * _TILE : i * _TILE + count], taps)
        for i in range(bottom - top):
            for moment in range(4):
                _down(rows[moment, i * _TILE :], means[moment, :count], taps)
            total += _loss(means, count, factor)
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
