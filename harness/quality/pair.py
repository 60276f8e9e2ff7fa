"""Two images side by side: checked, brought to one form, and measured by the compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.data.bounded import available_cores
from harness.errors import DataError
from harness.quality.luma import Luma, script_luma
from harness.quality.window import Window

if TYPE_CHECKING:
    import torch

    Image = NDArray[np.uint8] | torch.Tensor

Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]

_SMALL = 2**18
"""Pixels below which threads cost more than they save."""
_MOST_THREADS = 16


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images of one size as H x 3W interleaved RGB, and the box (top, bottom, left, right) that counts."""

    x: Bytes
    y: Bytes
    box: Box

    @property
    def pixels(self) -> int:
        """Pixels in the box."""
        top, bottom, left, right = self.box
        return (bottom - top) * (right - left)


def make_pair(sr: Image, hr: Image, border: int = 0) -> Pair:
    """Check two images and bring them to the kernels' form, without a copy where they are contiguous.

    Parameters
    ----------
    sr, hr
        H x W x 3 uint8 arrays; H x W for greyscale; or torch tensors, see `as_array`.
    border
        Pixels to leave out at each side.

    Raises
    ------
    DataError
        The images differ in size, are no 8-bit images, or the border leaves nothing.
    """
    x, y = as_array(sr, "SR"), as_array(hr, "HR")
    if x.shape != y.shape:
        raise DataError(
            f"SR is {x.shape[1]}x{x.shape[0]}, HR is {y.shape[1]}x{y.shape[0]}", mend="compare images of one size"
        )
    height, width = x.shape[:2]
    if border < 0 or 2 * border >= min(height, width):
        raise DataError(f"a border of {border} pixels leaves nothing of an image of {width}x{height}")
    box = (border, height - border, border, width - border)
    return Pair(_interleaved(x), _interleaved(y), box)


def as_array(image: Image, role: str = "the image") -> Bytes:
    """Return an image as an H x W x 3 uint8 array.

    A torch tensor may be uint8, H x W x 3 or (1 x) 3 x H x W, or floating point in [0, 1], (1 x) 3 x H x W, which is
    clamped and rounded to 8 bits as the harness rounds a network's output.

    Raises
    ------
    DataError
        The type or shape is another.
    """
    array = image if isinstance(image, np.ndarray) else _from_tensor(image)
    if array.dtype != np.uint8:
        raise DataError(f"{role} holds {array.dtype}, not 8-bit samples", mend="round it to uint8 first")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise DataError(f"{role} has shape {array.shape}, not H x W x 3", mend="pass one RGB image")
    return array


def _from_tensor(image: torch.Tensor) -> Bytes:
    from harness.quality.tensors import to_bytes

    return np.asarray(to_bytes(image).cpu().numpy())


def _interleaved(image: Bytes) -> Bytes:
    """Return a read-only H x 3W view, so that the kernels are compiled for one type of array only."""
    rows = np.ascontiguousarray(image).reshape(image.shape[0], -1).view()
    rows.flags.writeable = False
    return rows


def mse_rgb(pair: Pair) -> float:
    """Return the mean squared error over all three channels: an exact integer sum, divided once."""
    return float(np.trace(_products(pair))) / (3 * pair.pixels)


def mse_luma(pair: Pair, luma: Luma) -> float:
    """Return the mean squared error of luma, by the luma's own precision."""
    from harness.quality import kernels

    if luma.single_precision:
        return _mse_single(pair, luma)
    if luma.rounded:
        error = kernels.rounded_luma_error(pair.x, pair.y, pair.box, luma.weights, luma.offset)
        return float(error) / pair.pixels
    weights = np.array(luma.weights)
    return float(weights @ _products(pair) @ weights) / pair.pixels


def _products(pair: Pair) -> NDArray[np.float64]:
    """Return the symmetric matrix of summed products of channel differences."""
    from harness.quality import kernels

    rr, gg, bb, rg, rb, gb = kernels.cross_products(pair.x, pair.y, pair.box)
    return np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]], dtype=np.float64)


def _mse_single(pair: Pair, luma: Luma) -> float:
    """Replay the scripts' float32: luma, differences and their mean."""
    top, bottom, left, right = pair.box
    shape = (pair.x.shape[0], -1, 3)
    x = script_luma(pair.x.reshape(shape)[top:bottom, left:right], luma)
    y = script_luma(pair.y.reshape(shape)[top:bottom, left:right], luma)
    return float(np.mean((x - y) ** 2))


def ssim_rgb(pair: Pair, window: Window, threads: int | None = None) -> float:
    """Return the mean SSIM over channels and valid window positions."""
    from harness.quality import kernels

    def loss(box: Box) -> float:
        return float(kernels.ssim_loss_rgb(pair.x, pair.y, window.taps, window.covariance_factor, box))

    return 1.0 - _mean_over_windows(pair, window, loss, threads) / 3.0


def ssim_luma(pair: Pair, window: Window, luma: Luma, threads: int | None = None) -> float:
    """Return the mean SSIM of luma over valid window positions."""
    from harness.quality import kernels

    def loss(box: Box) -> float:
        return float(
            kernels.ssim_loss_luma(
                pair.x, pair.y, window.taps, window.covariance_factor, box, luma.weights, luma.offset, luma.rounded
            )
        )

    return 1.0 - _mean_over_windows(pair, window, loss, threads)


def _mean_over_windows(pair: Pair, window: Window, loss: Callable[[Box], float], threads: int | None) -> float:
    from harness.quality.kernels import BAND

    reach = len(window.taps) - 1
    top, bottom, left, right = pair.box
    rows, columns = bottom - top - reach, right - left - reach
    if rows < 1 or columns < 1:
        raise DataError(f"an image of {right - left}x{bottom - top} is smaller than SSIM's window ({reach + 1} pixels)")
    bands = [(row, min(row + BAND, top + rows), left, left + columns) for row in range(top, top + rows, BAND)]
    workers = _threads(pair.pixels, threads)
    if workers == 1:
        return math.fsum(map(loss, bands)) / (rows * columns)
    with ThreadPoolExecutor(workers) as pool:
        return math.fsum(pool.map(loss, bands)) / (rows * columns)


def _threads(pixels: int, wanted: int | None) -> int:
    if wanted is not None:
        return max(1, wanted)
    return 1 if pixels < _SMALL else min(available_cores(), _MOST_THREADS)
