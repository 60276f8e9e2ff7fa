"""Torch tensors as images, and their quality measured on their own device."""

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
"""Rows whose moments are on the device at once: some 250 MB at 4K."""

_OVERSHOOT = 16.0  # networks exceed 1 by a little; an image in [0, 255] would be clamped to white


def to_bytes(image: torch.Tensor) -> torch.Tensor:
    """Return an image tensor as H x W x 3 uint8, contiguous, on its device.

    Parameters
    ----------
    image
        uint8, H x W x 3 or (1 x) 3 x H x W; or floating point in [0, 1], (1 x) 3 x H x W.

    Raises
    ------
    DataError
        The shape is another, or a value is not finite or far beyond 1.
    """
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 2:
        image = image.expand(3, *image.shape)
    if image.ndim != 3 or 3 not in (image.shape[0], image.shape[2]):
        raise DataError(f"a tensor of shape {tuple(image.shape)} is not one RGB image", hint="pass 3 x H x W")
    if image.is_floating_point():
        image = quantise(image)
    channels_last = image.shape[2] == 3 and image.shape[0] != 3
    return (image if channels_last else image.permute(1, 2, 0)).contiguous()


def quantise(image: torch.Tensor) -> torch.Tensor:
    """Return a floating-point image in [0, 1] as uint8: clamped, times 255, rounded half to even.

    Raises
    ------
    DataError
        A value is NaN or infinite, or the image seems to be in [0, 255].
    """
    if not bool(torch.isfinite(image).all()):
        raise DataError("the image has values that are not finite")
    largest = float(image.max()) if image.numel() else 0.0
    if largest > _OVERSHOOT:
        raise DataError(f"the image has values up to {largest:g}, not up to 1", hint="divide it by 255, or pass uint8")
    return (image.detach().float().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


@dataclass(frozen=True, slots=True)
class TensorPair:
    """Two images as H x W x 3 uint8 tensors on one device, measured there in float64 and exact integers."""

    x: torch.Tensor
    y: torch.Tensor
    box: Box

    def mse_rgb(self) -> float:
        """Return the mean squared error over all three channels."""
        x, y = self._inner()
        return float((x.int() - y.int()).square().sum(dtype=torch.int64)) / (3 * area(self.box))

    def mse_luma(self, luma: Luma) -> float:
        """Return the mean squared error of luma, by the luma's own precision."""
        x, y = (_luma(image, luma) for image in self._inner())
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
    for top in range(0, x.shape[1] - reach, _STRIP):
        rows = slice(top, top + _STRIP + reach)
        yield x[:, rows], y[:, rows]


def _loss(x: torch.Tensor, y: torch.Tensor, window: Window) -> torch.Tensor:
    """Return the sum of 1 - SSIM over planes of C x H x W, by the algebra of `harness.quality.kernels`."""
    total, difference = x + y - 256.0, x - y
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
    down = torch.nn.functional.conv2d(flat, taps[None, None, :, None])
    along = torch.nn.functional.conv2d(down, taps[None, None, None, :])
    filtered: torch.Tensor = along.reshape(*planes.shape[:-2], *along.shape[-2:])
    return filtered
