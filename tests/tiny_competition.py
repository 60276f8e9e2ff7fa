"""A competition small enough for tests: a track of its own, two images, and submissions of both kinds."""

from pathlib import Path

import numpy as np
from PIL import Image

TRACK = """
[track]
name = "tiny-x2"
title = "A tiny challenge"
scale = 2
input_size = [24, 32]
degradation = "ntire23"
protocol = "ntire23-cpu"

[score]
formula = "2 ** (psnr - bicubic) * 20 / sqrt(runtime_ms)"
"""
SHARP = """
import torch
from torch import nn
from torch.nn import functional

class Sharp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        {body}
        cubic, linear = (functional.interpolate(x, scale_factor=2.0, mode=m) for m in ("bicubic", "bilinear"))
        return (1.1 * cubic - 0.1 * linear) * self.gain

def srmodel(scale=2):
    return Sharp()
"""
README = """runtime per image [s] : 0.004
CPU[1] / GPU[0] : 1
Extra Data [1] / No Extra Data [0] : 0
Other description : <b>sharp</b>
"""


def write_pictures(folder: Path) -> Path:
    """Write two small images with structure."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[0:48, 0:64]
    for index, name in enumerate(("first", "second")):
        wave = np.stack([np.sin(rows / (3 + c) + index) + np.cos(columns / (4 + c)) for c in range(3)], axis=-1)
        Image.fromarray(np.uint8(127 + 60 * wave)).save(folder / f"{name}.png")
    return folder


def write_network(folder: Path, body: str = "pass") -> Path:
    """Write a submission of code, better than bicubic on the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "submission.toml").write_text('[submission]\nname = "Sharp"\nteam = "tests"\nscales = [2]\n')
    (folder / "arch.py").write_text(SHARP.format(body=body))
    return folder
