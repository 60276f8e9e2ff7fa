"""IMDN: Lightweight Image Super-Resolution with Information Multi-distillation Network (ACM MM 2019).

This is the simplified network of the AIM 2019 challenge, which later challenges use as their baseline. Layers: 3x3
3-64 (head); eight information multi-distillation blocks and 3x3 64-64 (body); plus the head's output; 3x3 64-3r^2
(tail); pixel shuffle. A block: 3x3 64-64, twice 3x3 48-64, 3x3 48-16, each of the first three followed by
LeakyReLU 0.05 and a split into 16 channels kept and 48 passed on; the four kept parts through 1x1 64-64; plus the
block's input. 873,164 parameters at x2 and 881,819 at x3. The contrast-aware attention of the six-block network of the
paper, which would add 580 parameters per block, is not part of this network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALES = (2, 3)


class DistillationBlock(nn.Module):
    """Keep a quarter of the channels after each step, pass on the others, and fuse the kept channels by a 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kept = channels // 4
        self.split = (kept, channels - kept)
        self.step1 = _activated(channels, channels)
        self.step2 = _activated(channels - kept, channels)
        self.step3 = _activated(channels - kept, channels)
        self.step4 = nn.Conv2d(channels - kept, kept, 3, padding=1)
        self.fuse = nn.Conv2d(4 * kept, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept1, rest = self.step1(x).split(self.split, dim=1)
        kept2, rest = self.step2(rest).split(self.split, dim=1)
        kept3, rest = self.step3(rest).split(self.split, dim=1)
        kept = torch.cat((kept1, kept2, kept3, self.step4(rest)), dim=1)
        del kept1, kept2, kept3, rest  # each is a view that keeps a whole feature map alive, 0.5 GB at 4K
        out: Tensor = self.fuse(kept) + x
        return out


def _activated(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.LeakyReLU(0.05, inplace=True))


class IMDN(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1]."""

    def __init__(self, scale: int = 2, channels: int = 64, blocks: int = 8) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(DistillationBlock(channels) for _ in range(blocks)))
        self.body.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.tail = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)
        self.upsample = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        out: Tensor = self.upsample(self.tail(self.body(features) + features))
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"IMDN has no x{scale} network, only {SCALES}")
    return IMDN(scale)
