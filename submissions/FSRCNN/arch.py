"""FSRCNN: Accelerating the Super-Resolution Convolutional Neural Network (ECCV 2016), in RGB.

Layers: 5x5 3-56 (head); 1x1 56-12, four 3x3 12-12, 1x1 12-56 (body), each followed by the activation; 9x9
transposed convolution 56-3 of stride r (tail). With ReLU it has 24,511 parameters at every scale; the paper's
PReLU adds 172.
"""

from __future__ import annotations

from torch import Tensor, nn

SCALES = (2, 3)


class FSRCNN(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1]."""

    def __init__(self, scale: int = 2, channels: int = 56, shrunk: int = 12, maps: int = 4) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, channels, 5, padding=2), nn.ReLU(inplace=True))
        self.body = nn.Sequential(nn.Conv2d(channels, shrunk, 1), nn.ReLU(inplace=True))
        for _ in range(maps):
            self.body.extend([nn.Conv2d(shrunk, shrunk, 3, padding=1), nn.ReLU(inplace=True)])
        self.body.extend([nn.Conv2d(shrunk, channels, 1), nn.ReLU(inplace=True)])
        self.tail = nn.ConvTranspose2d(channels, 3, 9, stride=scale, padding=4, output_padding=scale - 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tail(self.body(self.head(x)))
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"FSRCNN has no x{scale} network, only {SCALES}")
    return FSRCNN(scale)
