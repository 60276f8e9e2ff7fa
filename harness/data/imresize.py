"""MATLAB-compatible ``imresize`` with the antialiased bicubic kernel, the standard of classic super-resolution papers.

The kernel is Keys' cubic convolution with a = -0.5, stretched by the scale when downscaling. Weights are normalized,
borders are mirrored, rows are resized before columns, and uint8 results are rounded half up.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK = 32  # output rows that are resized at a time; their float64 values fit into a core's cache


def imresize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize a uint8 image like MATLAB's ``imresize(image, [height width], "bicubic")``.

    Parameters
    ----------
    image
        Image, H x W x C or H x W, uint8.
    height, width
        Size of the result, pixels.

    Returns
    -------
    numpy.ndarray
        The resized image, uint8; equal to that of MATLAB within one level.
    """
    blocks = [np.clip(np.floor(exact + 0.5), 0, 255).astype(np.uint8) for exact in _blocks(image, height, width)]
    return np.concatenate(blocks)


def imresize_float(image: Floats, height: int, width: int) -> Floats:
    """Resize a float64 image (H x W or H x W x C) without rounding or clipping; see `imresize`."""
    return np.concatenate(list(_blocks(image, height, width)))


def _blocks(image: NDArray[np.uint8] | Floats, height: int, width: int) -> Iterator[Floats]:
    """Yield the rows of the resized image, some at a time: float64 images of 4K would take 200 MB each."""
    rows, row_weights = contributions(image.shape[0], height)
    columns, column_weights = contributions(image.shape[1], width)
    for first in range(0, height, _BLOCK):
        block = slice(first, first + _BLOCK)
        narrowed = _resize_axis(image, rows[block], row_weights[block], axis=0)
        yield _resize_axis(narrowed, columns, column_weights, axis=1)


def _resize_axis(image: NDArray[np.uint8] | Floats, indices: NDArray[np.int64], weights: Floats, axis: int) -> Floats:
    """Return the sums of an image's samples along an axis, for `indices` and `weights` of :func:`contributions`."""
    resized = np.zeros([*image.shape[:axis], len(indices), *image.shape[axis + 1 :]])
    # One tap of all output samples at a time, so that no matrix of weights is built.
    for tap in range(indices.shape[1]):
        share = weights[:, tap].reshape(-1, *(1,) * (image.ndim - axis - 1))
        resized += share * image.take(indices[:, tap], axis)
    return resized


def contributions(length_in: int, length_out: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the input samples and their weights for each output sample along one axis.

    Returns
    -------
    indices, weights
        Arrays of shape (``length_out``, taps). Indices are mirrored at the borders; each row of weights sums to 1.
    """
    scale = length_out / length_in
    stretch = min(scale, 1.0)  # antialiasing: when downscaling, the kernel is wider by the scale
    support = 4.0 / stretch
    centre = (np.arange(length_out) + 0.5) / scale - 0.5  # pixel centres at half-integers, as in MATLAB
    first = np.floor(centre - support / 2).astype(np.int64) + 1
    # One tap more than the support, because its first sample may lie at a fraction. Surplus taps get weight 0.
    taps = first[:, None] + np.arange(int(np.ceil(support)) + 1)
    weights = stretch * cubic(stretch * (centre[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    # One period of the mirrored signal: 0, ..., n-1, n-1, ..., 0. The modulus maps negative indices into it, too.
    mirrored = np.concatenate([np.arange(length_in), np.arange(length_in)[::-1]])
    return mirrored[taps % (2 * length_in)], weights


def cubic(distance: Floats) -> Floats:
    """Evaluate Keys' cubic convolution kernel with a = -0.5 at each distance."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
