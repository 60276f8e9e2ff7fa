"""Validate a pair of images, convert it to a common representation and evaluate it with the compiled kernels."""

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
from harness.quality.luma import Luma
from harness.quality.window import Window

if TYPE_CHECKING:
    import torch

    Image = NDArray[np.uint8] | torch.Tensor

Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Result = TypeVar("Result")

_SMALL = 2**18
"""Number of pixels below which multithreading costs more than it saves."""
_MOST_THREADS = 16


class Pair(Protocol):
    """Two images of equal size, and the box of pixels over which errors are computed."""

    def mse_rgb(self) -> float:
        """Return the mean squared error over all three channels."""

    def mse_luma(self, luma: Luma) -> float:
        """Return the mean squared error of luma, by the luma's own precision."""

    def ssim_rgb(self, window: Window) -> float:
        """Return the mean SSIM over channels and valid window positions."""

    def ssim_luma(self, window: Window, luma: Luma) -> float:
        """Return the mean SSIM of luma over valid window positions."""


def make_pair(sr: Image, hr: Image, border: int = 0, threads: int | None = None) -> Pair:
    """Validate two images and convert them to a common representation; contiguous arrays are not copied.

    Parameters
    ----------
    sr, hr
        uint8 arrays of shape (H, W, 3), or (H, W) for greyscale; or torch tensors, see `as_array`. If one is a tensor
        on an accelerator, both are evaluated there.
    border
        Number of pixels to crop from each side.
    threads
        Number of CPU threads; None for all cores if the image is large, else one.

    Raises
    ------
    DataError
        If the images differ in size, are not 8-bit images, or nothing is left inside the border.
    """
    device = _accelerator(sr, hr)
    # Avoid a transfer of the outputs to the host: evaluate both images on the accelerator.
    if device is not None:
        from harness.quality.tensors import TensorPair, to_bytes

        u, v = to_bytes(_on(sr, device)), to_bytes(_on(hr, device))
        return TensorPair(u, v, inner_box((u.shape[0], u.shape[1]), (v.shape[0], v.shape[1]), border))
    x, y = as_array(sr, "SR"), as_array(hr, "HR")
    return ArrayPair(_interleaved(x), _interleaved(y), inner_box(x.shape, y.shape, border), threads)


def _accelerator(*images: Image) -> torch.device | None:
    """Return the accelerator of the first image that is on one, else None; MPS is excluded for lack of float64."""
    devices = [image.device for image in images if not isinstance(image, np.ndarray)]
    return next((device for device in devices if device.type not in ("cpu", "mps")), None)


def _on(image: Image, device: torch.device) -> torch.Tensor:
    import torch

    # Copy, because torch warns about arrays that are not writable.
    return (torch.from_numpy(image.copy()) if isinstance(image, np.ndarray) else image).to(device)


def inner_box(sr: tuple[int, ...], hr: tuple[int, ...], border: int) -> Box:
    """Return the box (top, bottom, left, right) of two images without their border.

    Raises
    ------
    DataError
        If the images differ in size, or nothing is left inside the border.
    """
    height, width = hr[:2]
    if sr[:2] != hr[:2]:
        raise DataError(f"SR is {sr[1]}x{sr[0]}, HR is {width}x{height}", hint="compare images of equal size")
    if border < 0 or 2 * border >= min(height, width):
        raise DataError(f"a border of {border} pixels leaves nothing of an image of {width}x{height}")
    return border, height - border, border, width - border


def window_positions(box: Box, window: Window) -> Box:
    """Return the box of top-left window positions for which the window lies inside `box`.

    Raises
    ------
    DataError
        If the box is smaller than the window.
    """
    top, bottom, left, right = box
    reach = len(window.taps) - 1  # rows and columns that a window extends beyond its first one
    if bottom - top <= reach or right - left <= reach:
        raise DataError(
            f"an image of {right - left}x{bottom - top} is smaller than SSIM's window ({reach + 1} pixels)",
            hint=f"leave it out: SSIM needs {reach + 1} rows and columns at least, inside the border that is cropped",
        )
    return top, bottom - reach, left, right - reach


def as_array(image: Image, role: str = "the image") -> Bytes:
    """Return an image as a uint8 array of shape (H, W, 3).

    Parameters
    ----------
    image
        uint8 array of shape (H, W, 3) or (H, W). Or a torch tensor: uint8 of shape (H, W, 3), (3, H, W) or
        (1, 3, H, W), or floating point in [0, 1], which is clamped and rounded to 8 bits like a network's output.
    role
        Name of the image in error messages.

    Raises
    ------
    DataError
        If the dtype or the shape is not supported.
    """
    array = image if isinstance(image, np.ndarray) else _from_tensor(image)
    if array.dtype != np.uint8:
        raise DataError(f"{role} has dtype {array.dtype}, not uint8", hint="round it to 8 bits first")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise DataError(f"{role} has shape {array.shape}, not H x W x 3", hint="pass one RGB image")
    return array


def _from_tensor(image: torch.Tensor) -> Bytes:
    from harness.quality.tensors import to_bytes

    return np.asarray(to_bytes(image).cpu().numpy())


def _interleaved(image: Bytes) -> Bytes:
    """Return a read-only view of shape (H, 3 W).

    Numba compiles a kernel per array type, and read-only is part of the type: one type means one compilation.
    """
    # The flag is cleared on a view; the caller's array stays writable.
    rows = np.ascontiguousarray(image).reshape(image.shape[0], -1).view()
    rows.flags.writeable = False
    return rows


@dataclass(frozen=True)
class ArrayPair:
    """Pair of images as arrays of shape (H, 3 W) with interleaved channels, evaluated by the compiled kernels."""

    x: Bytes
    y: Bytes
    box: Box
    threads: int | None = None

    def mse_rgb(self) -> float:
        """Return the mean squared error over all three channels, from an exact integer sum."""
        return float(np.trace(self._products)) / (3 * area(self.box))

    def mse_luma(self, luma: Luma) -> float:
        """Return the mean squared error of luma, by the luma's own precision."""
        from harness.quality import kernels

        if luma.single_precision:
            # The quadratic form below is exact, and would not reproduce the rounding of float32.
            return self._mse_single(luma)
        if luma.rounded:
            error = kernels.rounded_luma_error(self.x, self.y, self.box, luma.weights, luma.offset)
            return float(error) / area(self.box)
        # The difference of unrounded luma is w . d for channel differences d, so its squared sum is w^T (sum d d^T) w.
        weights = np.array(luma.weights)
        return float(weights @ self._products @ weights) / area(self.box)

    @cached_property
    def _products(self) -> NDArray[np.float64]:
        """Symmetric 3 x 3 matrix of summed products of channel differences."""
        from harness.quality import kernels

        def products(box: Box) -> tuple[int, ...]:
            return tuple(map(int, kernels.cross_products(self.x, self.y, box)))

        # Sums of Python integers are exact, whatever the number of bands.
        rr, gg, bb, rg, rb, gb = map(sum, zip(*_in_bands(products, self.box, self.threads), strict=True))
        return np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]], dtype=np.float64)

    def _mse_single(self, luma: Luma) -> float:
        """Return the mean squared error of luma with the float32 arithmetic of the challenge's script."""
        from harness.quality import kernels

        top, bottom, left, right = self.box
        errors = np.empty((bottom - top, right - left), np.float32)
        weights = (255.0 * luma.weights[0], 255.0 * luma.weights[1], 255.0 * luma.weights[2])

        def write(band: Box) -> None:
            rows, columns = slice(band[0], band[1]), slice(3 * left, 3 * right)
            x, y, into = self.x[rows, columns], self.y[rows, columns], errors[band[0] - top : band[1] - top]
            kernels.script_luma_errors(x, y, weights, luma.offset, into)

        _in_bands(write, self.box, self.threads)
        return float(np.mean(errors))  # float32 sums, in pairs, as in the script

    def ssim_rgb(self, window: Window) -> float:
        """Return the mean SSIM over channels and valid window positions."""
        from harness.quality import kernels

        def loss(box: Box) -> float:
            return float(kernels.ssim_loss_rgb(self.x, self.y, window.taps, window.covariance_factor, box))

        return 1.0 - self._mean(window, loss) / 3.0  # the kernel sums over three channels

    def ssim_luma(self, window: Window, luma: Luma) -> float:
        """Return the mean SSIM of luma over valid window positions."""
        from harness.quality import kernels

        settings = (luma.weights, luma.offset, luma.rounded)

        def loss(box: Box) -> float:
            factor = window.covariance_factor
            return float(kernels.ssim_loss_luma(self.x, self.y, window.taps, factor, box, settings))

        # The kernels sum 1 - SSIM, which is small for similar images, so that no digits are lost in the sum.
        return 1.0 - self._mean(window, loss)

    def _mean(self, window: Window, loss: Callable[[Box], float]) -> float:
        """Return the mean loss over window positions."""
        positions = window_positions(self.box, window)
        return math.fsum(_in_bands(loss, positions, self.threads)) / area(positions)


def _in_bands(function: Callable[[Box], Result], box: Box, threads: int | None) -> list[Result]:
    """Apply a function to horizontal bands of a box, in parallel.

    The bands do not depend on the number of threads, so that floating-point sums are reproducible.
    """
    from harness.quality.kernels import BAND

    top, bottom, left, right = box
    bands = [(row, min(row + BAND, bottom), left, right) for row in range(top, bottom, BAND)]
    workers = min(_threads(area(box), threads), len(bands))
    # Without a pool, whose threads would cost more than a small image.
    if workers == 1:
        return list(map(function, bands))
    with ThreadPoolExecutor(workers) as pool:  # the kernels release the GIL
        return list(pool.map(function, bands))


def area(box: Box) -> int:
    """Return the number of pixels in a box."""
    top, bottom, left, right = box
    return (bottom - top) * (right - left)


def _threads(pixels: int, wanted: int | None) -> int:
    if wanted is not None:
        return max(1, wanted)
    return 1 if pixels < _SMALL else min(available_cores(), _MOST_THREADS)
