"""Two images side by side: checked, brought to one form, and measured by the compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.machine.available_cores import available_cores
from harness.quality.luma import Luma, script_luma
from harness.quality.window import Window

if TYPE_CHECKING:
    import torch

    Image = NDArray[np.uint8] | torch.Tensor

Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Result = TypeVar("Result")

_SMALL = 2**18
"""Pixels below which threads cost more than they save."""
_MOST_THREADS = 16


class Pair(Protocol):
    """Two images of one size, of which a box of pixels counts, and what can be measured of them."""

    def mse_rgb(self) -> float:
        """Return the mean squared error over all three channels."""

    def mse_luma(self, luma: Luma) -> float:
        """Return the mean squared error of luma, by the luma's own precision."""

    def ssim_rgb(self, window: Window) -> float:
        """Return the mean SSIM over channels and valid window positions."""

    def ssim_luma(self, window: Window, luma: Luma) -> float:
        """Return the mean SSIM of luma over valid window positions."""


def make_pair(sr: Image, hr: Image, border: int = 0, threads: int | None = None) -> Pair:
    """Check two images and bring them to one form, without a copy where they are contiguous.

    Parameters
    ----------
    sr, hr
        H x W x 3 uint8 arrays; H x W for greyscale; or torch tensors, see `as_array`. Where one is a tensor on an
        accelerator, both are measured there.
    border
        Pixels to leave out at each side.
    threads
        Threads to use on the CPU; None for all cores where the image is large.

    Raises
    ------
    DataError
        The images differ in size, are no 8-bit images, or the border leaves nothing.
    """
    device = _accelerator(sr, hr)
    if device is not None:
        from harness.quality.tensors import TensorPair, to_bytes

        u, v = to_bytes(_on(sr, device)), to_bytes(_on(hr, device))
        return TensorPair(u, v, inner_box((u.shape[0], u.shape[1]), (v.shape[0], v.shape[1]), border))
    x, y = as_array(sr, "SR"), as_array(hr, "HR")
    return ArrayPair(_interleaved(x), _interleaved(y), inner_box(x.shape, y.shape, border), threads)


def _accelerator(*images: Image) -> torch.device | None:
    """Return the accelerator that an image is on; one without float64 (Apple's) is left to the CPU."""
    devices = [image.device for image in images if not isinstance(image, np.ndarray)]
    return next((device for device in devices if device.type not in ("cpu", "mps")), None)


def _on(image: Image, device: torch.device) -> torch.Tensor:
    import torch

    return (torch.from_numpy(image.copy()) if isinstance(image, np.ndarray) else image).to(device)


def inner_box(sr: tuple[int, ...], hr: tuple[int, ...], border: int) -> Box:
    """Return (top, bottom, left, right) of what is left of two images without their border.

    Raises
    ------
    DataError
        The images differ in size, or nothing is left.
    """
    height, width = hr[:2]
    if sr[:2] != hr[:2]:
        raise DataError(f"SR is {sr[1]}x{sr[0]}, HR is {width}x{height}", hint="compare images of one size")
    if border < 0 or 2 * border >= min(height, width):
        raise DataError(f"a border of {border} pixels leaves nothing of an image of {width}x{height}")
    return border, height - border, border, width - border


def window_positions(box: Box, window: Window) -> Box:
    """Return the box of a window's first rows and columns, such that it lies inside `box`.

    Raises
    ------
    DataError
        The box is smaller than the window.
    """
    top, bottom, left, right = box
    reach = len(window.taps) - 1
    if bottom - top <= reach or right - left <= reach:
        raise DataError(f"an image of {right - left}x{bottom - top} is smaller than SSIM's window ({reach + 1} pixels)")
    return top, bottom - reach, left, right - reach


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
        raise DataError(f"{role} holds {array.dtype}, not 8-bit samples", hint="round it to uint8 first")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise DataError(f"{role} has shape {array.shape}, not H x W x 3", hint="pass one RGB image")
    return array


def _from_tensor(image: torch.Tensor) -> Bytes:
    from harness.quality.tensors import to_bytes

    return np.asarray(to_bytes(image).cpu().numpy())


def _interleaved(image: Bytes) -> Bytes:
    """Return a read-only H x 3W view, so that the kernels are compiled for one type of array only."""
    rows = np.ascontiguousarray(image).reshape(image.shape[0], -1).view()
    rows.flags.writeable = False
    return rows


@dataclass(frozen=True)
class ArrayPair:
    """Two images as H x 3W arrays of interleaved RGB, measured by the compiled kernels."""

    x: Bytes
    y: Bytes
    box: Box
    threads: int | None = None

    def mse_rgb(self) -> float:
        """Return the mean squared error over all three channels: an exact integer sum, divided once."""
        return float(np.trace(self._products)) / (3 * area(self.box))

    def mse_luma(self, luma: Luma) -> float:
        """Return the mean squared error of luma, by the luma's own precision."""
        from harness.quality import kernels

        if luma.single_precision:
            return self._mse_single(luma)
        if luma.rounded:
            error = kernels.rounded_luma_error(self.x, self.y, self.box, luma.weights, luma.offset)
            return float(error) / area(self.box)
        weights = np.array(luma.weights)
        return float(weights @ self._products @ weights) / area(self.box)

    @cached_property
    def _products(self) -> NDArray[np.float64]:
        """Return the symmetric matrix of summed products of channel differences."""
        from harness.quality import kernels

        def products(box: Box) -> tuple[int, ...]:
            return tuple(map(int, kernels.cross_products(self.x, self.y, box)))

        rr, gg, bb, rg, rb, gb = map(sum, zip(*_in_bands(products, self.box, self.threads), strict=True))
        return np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]], dtype=np.float64)

    def _mse_single(self, luma: Luma) -> float:
        """Replay the scripts' float32: luma, differences and their mean."""
        top, bottom, left, right = self.box
        shape = (self.x.shape[0], -1, 3)
        x = script_luma(self.x.reshape(shape)[top:bottom, left:right], luma)
        y = script_luma(self.y.reshape(shape)[top:bottom, left:right], luma)
        return float(np.mean((x - y) ** 2))

    def ssim_rgb(self, window: Window) -> float:
        """Return the mean SSIM over channels and valid window positions."""
        from harness.quality import kernels

        def loss(box: Box) -> float:
            return float(kernels.ssim_loss_rgb(self.x, self.y, window.taps, window.covariance_factor, box))

        return 1.0 - self._mean(window, loss) / 3.0

    def ssim_luma(self, window: Window, luma: Luma) -> float:
        """Return the mean SSIM of luma over valid window positions."""
        from harness.quality import kernels

        settings = (luma.weights, luma.offset, luma.rounded)

        def loss(box: Box) -> float:
            factor = window.covariance_factor
            return float(kernels.ssim_loss_luma(self.x, self.y, window.taps, factor, box, settings))

        return 1.0 - self._mean(window, loss)

    def _mean(self, window: Window, loss: Callable[[Box], float]) -> float:
        """Return the mean loss over window positions."""
        positions = window_positions(self.box, window)
        return math.fsum(_in_bands(loss, positions, self.threads)) / area(positions)


def _in_bands(function: Callable[[Box], Result], box: Box, threads: int | None) -> list[Result]:
    """Return what a function gives on each band of a box, whose rows do not depend on the number of threads."""
    from harness.quality.kernels import BAND

    top, bottom, left, right = box
    bands = [(row, min(row + BAND, bottom), left, right) for row in range(top, bottom, BAND)]
    workers = min(_threads(area(box), threads), len(bands))
    if workers == 1:
        return list(map(function, bands))
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, bands))


def area(box: Box) -> int:
    """Return the number of pixels in a box."""
    top, bottom, left, right = box
    return (bottom - top) * (right - left)


def _threads(pixels: int, wanted: int | None) -> int:
    if wanted is not None:
        return max(1, wanted)
    return 1 if pixels < _SMALL else min(available_cores(), _MOST_THREADS)
