"""RTSRN: the plain real-time baseline of the NTIRE 2023 challenge (after AIM 2022, mobile NPU track).

Layers: 3x3 3-64 (head); five 3x3 64-64 with ReLU after the first four (body); plus the head's output; 3x3 64-3r^2
(tail); pixel shuffle. 193,356 parameters at x2 and 202,011 at x3.
"""

from __future__ import annotations

from torch import Tensor, nn

SCALES = (2, 3)


class RTSRN(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1]."""

    def __init__(self, scale: int = 2, channels: int = 64, blocks: int = 5) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1))
        for _ in range(blocks - 1):
            self.body.extend([nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 3, padding=1)])
        self.tail = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)
        self.upsample = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        out: Tensor = self.upsample(self.tail(self.body(features) + features))
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"RTSRN has no x{scale} network, only {SCALES}")
    return RTSRN(scale)
