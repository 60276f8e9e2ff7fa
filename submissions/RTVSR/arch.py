"""RTVSR, also called REPNet: a residual to bilinear upscaling, computed at half resolution (NTIRE 2023).

Layers: pixel unshuffle 2; 3x3 12-32 (head); 3x3 32-32, once at x2 and twice at x3 (body), LeakyReLU 0.1 after each;
3x3 32-12r^2 (tail); pixel shuffle 2r; plus the bilinear upscaling. 26,608 parameters at x2 and 53,196 at x3.
"""

from __future__ import annotations

from torch import Tensor, nn

SCALES = (2, 3)


class RTVSR(nn.Module):
    """The network; input and output are N x 3 x H x W in [0, 1], H and W even."""

    def __init__(self, scale: int = 2, channels: int = 32) -> None:
        super().__init__()
        self.down = nn.PixelUnshuffle(2)
        self.head = nn.Sequential(nn.Conv2d(12, channels, 3, padding=1), nn.LeakyReLU(0.1, inplace=True))
        self.body = nn.Sequential()
        for _ in range(1 if scale == 2 else 2):
            self.body.extend([nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.1, inplace=True)])
        self.tail = nn.Conv2d(channels, 3 * (2 * scale) ** 2, 3, padding=1)
        self.upsample = nn.PixelShuffle(2 * scale)
        self.skip = nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.upsample(self.tail(self.body(self.head(self.down(x))))) + self.skip(x)
        return out


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"RTVSR has no x{scale} network, only {SCALES}")
    return RTVSR(scale)
