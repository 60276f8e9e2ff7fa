"""Team OV: a plain network of 12 channels (fourth of Track 1, NTIRE 2023).

Layers, 3x3 without biases: 3-12 (head); two 12-12 (body), ReLU after each; 12-3r^2 (tail); pixel shuffle. 4,212
parameters at x2. The layers were derived from the published counts. The report's counter includes ReLU modules, but
the published count equals that of the convolutions alone; therefore ReLU is called as a function. No count is published
for x3, for which only the tail differs here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALES = (2, 3)


class TeamOV(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1]."""

    def __init__(self, scale: int = 2, channels: int = 12, blocks: int = 2) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, 3 * scale**2, 3, padding=1, bias=False)
        self.upsample = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.head(x))
        for layer in self.body:
            features = torch.relu(layer(features))
        out: Tensor = self.upsample(self.tail(features))
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"Team OV has no x{scale} network, only {SCALES}")
    return TeamOV(scale)
