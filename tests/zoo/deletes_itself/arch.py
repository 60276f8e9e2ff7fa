"""Deletes its own folder."""

import shutil
from pathlib import Path

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    shutil.rmtree(Path(__file__).parent)
    return Network()
