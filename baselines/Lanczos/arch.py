"""Lanczos interpolation with three lobes, as in Pillow: taps beyond the border are dropped and the others normalized.

The tap at distance t has the weight sinc(t) sinc(t / 3). Upscaling by an integer r uses r sets of taps (phases) per
axis, so that each axis is one convolution with r outputs that are interleaved. Unlike Pillow, this does not round and
clip to 8 bits between the axes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LOBES = 3


class Lanczos(nn.Module):
    """Upscale N x C x H x W in [0, 1] by an integer factor and clamp."""

    taps: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        centres = (torch.arange(scale) + 0.5) / scale - 0.5
        distance = torch.arange(-LOBES, LOBES + 1) - centres[:, None]
        taps = torch.sinc(distance) * torch.sinc(distance / LOBES) * (distance.abs() < LOBES)
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        rows = self._along_height(x.reshape(count * channels, 1, height, width))
        large = self._along_height(rows.transpose(2, 3)).transpose(2, 3)
        return large.reshape(count, channels, self.scale * height, self.scale * width).clamp(0, 1)

    def _along_height(self, x: Tensor) -> Tensor:
        """Upscale n x 1 x h x w along the height to n x 1 x rh x w."""
        count, _, height, width = x.shape
        kernel = self.taps[:, None, :, None]
        phases = functional.conv2d(x, kernel, padding=(LOBES, 0))
        # Sum of the weights of taps inside the image, by which the result is normalized as in Pillow.
        present = functional.conv2d(torch.ones_like(x[:1, :, :, :1]), kernel, padding=(LOBES, 0))
        return (phases / present).transpose(1, 2).reshape(count, 1, self.scale * height, width)


def srmodel(scale: int = 2) -> nn.Module:
    """Return the interpolation for ``scale``."""
    return Lanczos(scale)
