"""SCSRN: Skip-Concatenated Image Super-Resolution Network for Mobile Devices.

Layers, all 3x3: 3-32, ReLU (head); four [32-32, ReLU] (body); concatenate the input; 35-3r^2, 3r^2-3r^2 (tail);
pixel shuffle; clip. 53,008 parameters at x3, the published count, and 42,988 at x2 with the same layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALES = (2, 3)


class SCSRN(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1]."""

    def __init__(self, scale: int = 2, channels: int = 32, blocks: int = 4) -> None:
        super().__init__()
        subpixels = 3 * scale**2
        self.head = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(inplace=True))
        self.body = nn.Sequential()
        for _ in range(blocks):
            self.body.extend([nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)])
        self.tail = nn.Sequential(
            nn.Conv2d(channels + 3, subpixels, 3, padding=1), nn.Conv2d(subpixels, subpixels, 3, padding=1)
        )
        self.upsample = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.cat((self.body(self.head(x)), x), dim=1)
        out: Tensor = self.upsample(self.tail(features)).clamp(0, 1)
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"SCSRN has no x{scale} network, only {SCALES}")
    return SCSRN(scale)
