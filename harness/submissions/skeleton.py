"""Write a submission to start from: ``harness new NAME``."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from harness.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}")

MANIFEST = """\
[submission]
name = "{name}"
team = ""
scales = [2, 3, 4]
factory = "arch:srmodel"      # module:callable in this folder
value_range = 1.0             # 1.0 or 255.0: what the network eats and gives
description = ""
license = ""

# Once you have trained it, save each scale with safetensors.torch.save_file(network.state_dict(), ...)
# [weights]
# x2 = "weights/x2.safetensors"
"""

ARCHITECTURE = '''\
"""{name}: two convolutions that correct a bicubic enlargement."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module):
    """Add a learned correction, made at low resolution, to the bicubic enlargement.

    The last convolution begins as zero, so the untrained network gives bicubic exactly.
    """

    def __init__(self, scale: int, channels: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )
        nn.init.zeros_(self.body[2].weight)
        nn.init.zeros_(self.body[2].bias)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch of RGB images, N x 3 x H x W in [0, 1], by the scale."""
        base = functional.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return base + self.body(x)


def srmodel(scale: int = 2) -> nn.Module:
    """Return the network for ``scale``."""
    torch.manual_seed(0)
    return Network(scale)
'''

README = """\
# {name}

`harness check .` tries this submission; `harness run . --scale 2` measures it.
"""


def create(name: str, parent: Path) -> Path:
    """Write the folder ``parent/name`` with a submission that runs, and return it. Nothing is overwritten.

    Raises
    ------
    UsageError
        The name cannot be a folder's, or the folder exists.
    """
    if not _NAME.fullmatch(name) or name.endswith((" ", ".")) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot name a submission",
            hint="use 1 to 64 letters, digits, spaces and . _ + -, beginning with a letter or digit",
        )
    folder = parent / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError("exists already", where=str(folder), hint="choose another name, or remove it") from error
    except OSError as error:
        raise UsageError(
            f"cannot be created: {error.strerror}", where=str(folder), hint="give a folder that you may write to"
        ) from error
    for file, text in (("submission.toml", MANIFEST), ("arch.py", ARCHITECTURE), ("README.md", README)):
        (folder / file).write_text(text.replace("{name}", name), encoding="utf-8")
    return folder
