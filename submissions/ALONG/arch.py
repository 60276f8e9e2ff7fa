"""ALONG: a plain network at a third of the resolution (second of Track 1, NTIRE 2023).

Layers: pixel unshuffle 3; 3x3 27-32 (head); three 3x3 32-32 (body), ReLU after each; 3x3 32-108 (tail); pixel
shuffle 6. 66,764 parameters. The layers were derived from the published counts. The report's
counter includes ReLU modules, but the published count equals that of the convolutions alone; therefore ReLU is called
as a function.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALES = (2,)


class ALONG(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1], H and W multiples of 3."""

    def __init__(self, scale: int = 2, channels: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.down = nn.PixelUnshuffle(3)
        self.head = nn.Conv2d(27, channels, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, 27 * scale**2, 3, padding=1)
        self.upsample = nn.PixelShuffle(3 * scale)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.head(self.down(x)))
        for layer in self.body:
            features = torch.relu(layer(features))
        out: Tensor = self.upsample(self.tail(features))
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2."""
    if scale not in SCALES:
        raise ValueError(f"ALONG has no x{scale} network, only {SCALES}")
    return ALONG(scale)
