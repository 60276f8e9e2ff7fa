"""Bicubic++: Slim, Slimmer, Slimmest (Aselsan Research, winner of Track 2 of NTIRE 2023; CVPRW 2023).

Layers, 3x3 without biases: 3-32 stride 2, LeakyReLU; two [32-32, LeakyReLU]; plus the first activation; 32-3(2r)^2;
pixel shuffle 2r. 50,400 parameters at x3 and 33,120 at x2. Module names are those of the released state dict.
"""

from __future__ import annotations

from torch import Tensor, nn

SCALES = (2, 3)


class BicubicPP(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1], H and W even."""

    def __init__(self, scale: int = 3, channels: int = 32) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv_out = nn.Conv2d(channels, 3 * (2 * scale) ** 2, 3, padding=1, bias=False)
        self.act = nn.LeakyReLU(0.1, inplace=True)
        self.upsample = nn.PixelShuffle(2 * scale)

    def forward(self, x: Tensor) -> Tensor:
        first = self.act(self.conv0(x))
        features = self.act(self.conv2(self.act(self.conv1(first)))) + first
        out: Tensor = self.upsample(self.conv_out(features))
        return out


def srmodel(scale: int = 3) -> nn.Module:
    """Return the network for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"Bicubic++ has no x{scale} network, only {SCALES}")
    return BicubicPP(scale)
