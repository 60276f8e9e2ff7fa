"""Counts that are not proportional to the number of pixels: closed forms at the real size, and fvcore's there."""

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.nn import functional as F

from harness.complexity.count import count

H, W = 97, 131
P = H * W


class StridedPooling(nn.Module):
    """Spatial attention of residual feature distillation networks, with operators that have no products."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.less = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 1)
        self.stride, self.inner = nn.Conv2d(8, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1)
        self.back, self.tail = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardtanh_(self.head(x), -9, 9)
        small = F.max_pool2d(self.stride(self.less(y)), 7, 3)
        small = self.inner(small) / torch.linalg.vector_norm(small).clamp(min=1)
        weight = F.interpolate(small, y.shape[2:], mode="bilinear", align_corners=False).flip(-1)
        return F.pixel_shuffle(self.tail(y * torch.sigmoid(self.back(weight))), 2)

    @staticmethod
    def macs() -> int:
        strided = ((H - 3) // 2 + 1), ((W - 3) // 2 + 1)
        pooled = ((strided[0] - 7) // 3 + 1) * ((strided[1] - 7) // 3 + 1)
        convolutions = P * (27 * 16 + 16 * 8 + 8 * 16 + 144 * 12) + 576 * (strided[0] * strided[1] + pooled)
        return convolutions + 4 * 8 * P  # four for each output of a bilinear interpolation


class Pooled(nn.Module):
    """Channel weights from a grid of 4 x 4 that does not grow with the image."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1)
        self.grid, self.out = nn.Conv2d(16, 64, 3, padding=1), nn.Linear(64 * 16, 16)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        grid = self.grid(F.adaptive_avg_pool2d(y, 4))
        return F.pixel_shuffle(self.tail(y * self.out(grid.flatten(1))[..., None, None]), 2)

    @staticmethod
    def macs() -> int:
        return P * (27 * 16 + 144 * 12) + 16 * P + 16 * 144 * 64 + 1024 * 16  # one for each input of the pooling


class Padded(nn.Module):
    """Pads to multiples of 32 inside, works there, and crops."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        y = self.head(F.pad(x, (0, -width % 32, 0, -height % 32), mode="reflect"))
        return F.pixel_shuffle(self.tail(y), 2)[..., : 2 * height, : 2 * width]

    @staticmethod
    def macs() -> int:
        return 128 * 160 * (27 * 16 + 144 * 12)


@pytest.mark.parametrize("network", [StridedPooling, Pooled, Padded])
def test_counts_at_the_real_size(network: type[StridedPooling | Pooled | Padded]) -> None:
    made = network().eval()
    complexity = count(made, (1, 3, H, W))
    assert complexity.macs == network.macs()
    assert complexity.incomplete_ops == ()
    with torch.no_grad():
        analysis = FlopCountAnalysis(made, (torch.rand(1, 3, H, W),))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        assert complexity.macs == pytest.approx(analysis.total(), rel=5e-3)


def test_the_mark_says_when_a_count_is_not_proportional() -> None:
    assert "not proportional" in count(Padded().eval(), (1, 3, H, W)).source
    plain = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)).eval()
    assert "not proportional" not in count(plain, (1, 3, H, W)).source
