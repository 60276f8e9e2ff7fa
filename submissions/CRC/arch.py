"""CRC: a real-time network that adds a residual to bicubic interpolation (team DoYouChargeQQCoin, NTIRE 2023, Track 1).

Layers: 3x3 3-6, ReLU, 3x3 6-12, pixel shuffle 2, plus the bicubic upscaling. 828 parameters. Values are in [0, 255].
"""

from __future__ import annotations

from torch import Tensor, nn

SCALES = (2,)


class CRC(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 255]."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        subpixels = 3 * scale**2
        self.head = nn.Sequential(nn.Conv2d(3, subpixels // 2, 3, padding=1), nn.ReLU(inplace=True))
        self.tail = nn.Conv2d(subpixels // 2, subpixels, 3, padding=1)
        self.upsample = nn.PixelShuffle(scale)
        self.skip = nn.Upsample(scale_factor=scale, mode="bicubic", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.upsample(self.tail(self.head(x))) + self.skip(x)
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2."""
    if scale not in SCALES:
        raise ValueError(f"CRC has no x{scale} network, only {SCALES}")
    return CRC(scale)
