"""The anchor: a network that never changes, beside which all others are timed.

Two convolutions and a pixel shuffle, as the networks that it is compared with are made of; small, because it takes
a turn between every two of them.
"""

from __future__ import annotations

import torch
from torch import nn

_WIDTH = 8


def srmodel(scale: int = 2) -> nn.Module:
    """Return the anchor for ``scale``, on N x 3 x H x W, with weights that depend on nothing."""
    network = nn.Sequential(
        nn.Conv2d(3, _WIDTH, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(_WIDTH, 3 * scale**2, 3, padding=1),
        nn.PixelShuffle(scale),
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)
    return network
