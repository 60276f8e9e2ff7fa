"""Reads the list of the machine's users."""

from pathlib import Path

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    Path("/etc/passwd").read_text()
    return Network()
