"""Imports a module that is there as byte code only."""

from torch import nn
from torch.nn import functional

import hidden  # noqa: F401


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    return Network()
