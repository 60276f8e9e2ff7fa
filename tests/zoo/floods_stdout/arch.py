"""Prints a gigabyte."""

import os

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    block = b"x" * (1 << 20)
    for _ in range(1024):
        rest = block
        while rest:
            rest = rest[os.write(1, rest) :]
    return Network()
