"""IMDN's released six-block network by the classic protocol: MATLAB's resize, luma, border of the scale.

The zoo has the simplified eight-block network of the challenges. The paper's own is written out here, because its
released weights and figures check resizing, colour and metrics from end to end.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.data.images import read_rgb
from harness.data.imresize import imresize
from harness.quality import psnr, ssim


class Attention(nn.Module):
    """Weigh channels by their contrast: standard deviation plus mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, channels // 16, 1), nn.ReLU(), nn.Conv2d(channels // 16, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        contrast = x.std((2, 3), correction=0, keepdim=True) + x.mean((2, 3), keepdim=True)
        return x * self.conv_du(contrast)


class Block(nn.Module):
    def __init__(self, channels: int, kept: int) -> None:
        super().__init__()
        self.split = (kept, channels - kept)
        self.c1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.c2 = nn.Conv2d(channels - kept, channels, 3, padding=1)
        self.c3 = nn.Conv2d(channels - kept, channels, 3, padding=1)
        self.c4 = nn.Conv2d(channels - kept, kept, 3, padding=1)
        self.c5 = nn.Conv2d(channels, channels, 1)
        self.cca = Attention(channels)
        self.act = nn.LeakyReLU(0.05)

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = [], x
        for layer in (self.c1, self.c2, self.c3):
            part, rest = self.act(layer(rest)).split(self.split, dim=1)
            kept.append(part)
        return self.c5(self.cca(torch.cat((*kept, self.c4(rest)), dim=1))) + x


class SixBlocks(nn.Module):
    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.fea_conv = nn.Conv2d(3, channels, 3, padding=1)
        for number in range(1, 7):
            self.add_module(f"IMDB{number}", Block(channels, channels // 4))
        self.c = nn.Sequential(nn.Conv2d(6 * channels, channels, 1), nn.LeakyReLU(0.05))
        self.LR_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        first = self.fea_conv(x)
        outputs = [first]
        for number in range(1, 7):
            outputs.append(self.get_submodule(f"IMDB{number}")(outputs[-1]))
        return self.upsampler(self.LR_conv(self.c(torch.cat(outputs[1:], dim=1))) + first)


@pytest.mark.slow
def test_released_weights_reproduce_the_paper_on_set5(shared: Path) -> None:
    stored = torch.load(shared / "weights" / "imdn_x2.pth", map_location="cpu", weights_only=True)
    network = SixBlocks().eval()
    network.load_state_dict({name.removeprefix("module."): value for name, value in stored.items()})
    figures = []
    for path in sorted((shared / "data" / "Set5" / "HR").glob("*.png")):
        hr = read_rgb(path)
        hr = np.ascontiguousarray(hr[: hr.shape[0] // 2 * 2, : hr.shape[1] // 2 * 2])
        lr = imresize(hr, hr.shape[0] // 2, hr.shape[1] // 2)
        with torch.inference_mode():
            output = network(torch.from_numpy(lr).permute(2, 0, 1)[None] / 255)
        sr = (output[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        figures.append((psnr(sr, hr, colour="y", border=2), ssim(sr, hr, colour="y", border=2)))
    assert len(figures) == 5
    mean_psnr, mean_ssim = np.mean(figures, axis=0)
    assert mean_psnr == pytest.approx(38.006, abs=0.002)
    assert mean_ssim == pytest.approx(0.9606, abs=0.0001)
