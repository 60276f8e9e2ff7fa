"""Convert torch tensors to 8-bit images, and compute PSNR and SSIM on the device of the tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from harness.errors import DataError
from harness.quality.luma import HALF_UP, Luma
from harness.quality.pair import Box, area, window_positions
from harness.quality.reference import C1, C2
from harness.quality.window import Window

_STRIP = 256
"""Rows that are processed at once, to limit device memory to about 250 MB at 4K."""

_OVERSHOOT = 16.0  # outputs may exceed 1 slightly; larger values indicate the range [0, 255] and would clamp to white


def to_bytes(image: torch.Tensor) -> torch.Tensor:
    """Convert an image tensor to a contiguous uint8 tensor of shape (H, W, 3) on the same device.

    Parameters
    ----------
    image
        uint8 tensor of shape (H, W, 3), (3, H, W) or (1, 3, H, W), or floating-point tensor in [0, 1]. Greyscale images
        of shape (H, W) are expanded to three channels.

    Raises
    ------
    DataError
        If the shape is not supported, or a value is not finite or much larger than 1.
    """
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 2:
        image = image.expand(3, *image.shape)
    if image.ndim != 3 or 3 not in (image.shape[0], image.shape[2]):
        raise DataError(f"a tensor of shape {tuple(image.shape)} is not one RGB image", hint="pass 3 x H x W")
    if image.is_floating_point():
        image = quantise(image)
    # A tensor of 3 x H x 3 is ambiguous and is taken as channels first, the layout of torch.
    channels_last = image.shape[2] == 3 and image.shape[0] != 3
    return (image if channels_last else image.permute(1, 2, 0)).contiguous()


def quantise(image: torch.Tensor) -> torch.Tensor:
    """Convert a floating-point image in [0, 1] to uint8: clamp, multiply by 255, round half to even.

    Raises
    ------
    DataError
        If a value is NaN or infinite, or the image appears to be in the range [0, 255].
    """
    image = image.detach()  # torch warns of numbers that are read from a tensor with gradients
    # The conversion of NaN and infinity to uint8 is undefined and depends on the device.
    if not bool(torch.isfinite(image).all()):
        raise DataError("the image has values that are not finite")
    largest = float(image.max()) if image.numel() else 0.0
    if largest > _OVERSHOOT:
        raise DataError(f"the image has values up to {largest:g}, not up to 1", hint="divide it by 255, or pass uint8")
    # In float32: the product would be rounded in float16 before it is rounded to an integer.
    return (image.float().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


@dataclass(frozen=True, slots=True)
class TensorPair:
    """Pair of images as uint8 tensors of shape (H, W, 3) on one device, evaluated there in float64 and integers."""

    x: torch.Tensor
    y: torch.Tensor
    box: Box

    def mse_rgb(self) -> float:
        """Return the mean squared error over all three channels."""
        x, y = self._inner()
        # Squared differences are at most 255^2; the sum over a 4K image exceeds 32 bits.
        # Bytes are converted, because their differences would wrap around.
        return float((x.int() - y.int()).square().sum(dtype=torch.int64)) / (3 * area(self.box))

    def mse_luma(self, luma: Luma) -> float:
        """Return the mean squared error of luma, by the luma's own precision."""
        x, y = (_luma(image, luma) for image in self._inner())
        # An approximation of the script's float32 arithmetic; `script_luma` has its exact order of operations.
        if luma.single_precision:
            x, y = x.float(), y.float()
        return float((x - y).square().mean())

    def ssim_rgb(self, window: Window) -> float:
        """Return the mean SSIM over channels and valid window positions."""
        x, y = (image.permute(2, 0, 1).double() for image in self._inner())
        return 1.0 - self._loss(x, y, window) / 3

    def ssim_luma(self, window: Window, luma: Luma) -> float:
        """Return the mean SSIM of luma over valid window positions."""
        x, y = (_luma(image, luma)[None] for image in self._inner())
        return 1.0 - self._loss(x, y, window)

    def _inner(self) -> tuple[torch.Tensor, torch.Tensor]:
        top, bottom, left, right = self.box
        return self.x[top:bottom, left:right], self.y[top:bottom, left:right]

    def _loss(self, x: torch.Tensor, y: torch.Tensor, window: Window) -> float:
        """Return the sum over planes of the mean of 1 - SSIM."""
        positions = window_positions(self.box, window)
        total = sum(float(_loss(u, v, window)) for u, v in _strips(x, y, len(window.taps) - 1))
        return total / area(positions)


def _luma(image: torch.Tensor, luma: Luma) -> torch.Tensor:
    weights = torch.tensor(luma.weights, dtype=torch.float64, device=image.device)
    plane = image.double() @ weights + luma.offset
    return (plane + HALF_UP).floor() if luma.rounded else plane


def _strips(x: torch.Tensor, y: torch.Tensor, reach: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    # Strips overlap by the reach of the window, so that each window position belongs to exactly one strip.
    for top in range(0, x.shape[1] - reach, _STRIP):
        rows = slice(top, top + _STRIP + reach)
        yield x[:, rows], y[:, rows]


def _loss(x: torch.Tensor, y: torch.Tensor, window: Window) -> torch.Tensor:
    """Return the sum of 1 - SSIM over planes of shape (C, H, W), by the formula in `harness.quality.kernels`."""
    # Centring the sum keeps the moments small; 256 is exact in binary and is added again to the mean below.
    total, difference = x + y - 256.0, x - y
    # All four moments are filtered in one call.
    moments = torch.stack([total, difference, total.square(), difference.square()])
    s, d, ss, dd = _filter(moments, window)
    variance_s = window.covariance_factor * (ss - s.square())
    variance_d = window.covariance_factor * (dd - d.square())
    p = 0.5 * ((s + 256.0).square() + d.square()) + C1
    q = 0.5 * (variance_s + variance_d) + C2
    loss: torch.Tensor = (d.square() * q + variance_d * p - d.square() * variance_d) / (p * q)
    return loss.sum()


def _filter(planes: torch.Tensor, window: Window) -> torch.Tensor:
    taps = torch.tensor(window.taps, dtype=planes.dtype, device=planes.device)
    flat = planes.reshape(-1, 1, *planes.shape[-2:])
    # The window is separable: filter along columns, then along rows.
    down = torch.nn.functional.conv2d(flat, taps[None, None, :, None])
    along = torch.nn.functional.conv2d(down, taps[None, None, None, :])
    filtered: torch.Tensor = along.reshape(*planes.shape[:-2], *along.shape[-2:])
    return filtered
