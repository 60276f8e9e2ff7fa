"""Create a submission to start from, for ``harness new NAME``."""

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
value_range = 1.0             # value of white in input and output: 1.0 or 255.0
description = ""
license = ""

# After training, save each scale with safetensors.torch.save_file(network.state_dict(), ...)
# [weights]
# x2 = "weights/x2.safetensors"
"""

ARCHITECTURE = '''\
"""{name}: bicubic interpolation plus a residual from two convolutions."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module):
    """Add a residual, computed at low resolution, to the bicubic interpolation.

    The last convolution is initialized to zero, so that the untrained network equals bicubic interpolation.
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

`harness check .` checks this submission; `harness run . --scale 2` measures it.
"""


def create(name: str, parent: Path) -> Path:
    """Create the folder ``parent/name`` with a working submission and return it. Nothing is overwritten.

    Raises
    ------
    UsageError
        The name is not valid, or the folder exists or cannot be created.
    """
    if not _NAME.fullmatch(name) or name.endswith((" ", ".")) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot name a submission",
            hint="use 1 to 64 letters, digits, spaces and . _ + -, starting with a letter or digit",
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
