"""Writes into its own folder."""

from pathlib import Path

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    Path(__file__).with_name("left_behind.txt").write_text("I was here")
    return Network()
