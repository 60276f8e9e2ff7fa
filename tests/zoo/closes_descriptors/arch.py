"""Closes every file descriptor of its process."""

import os

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    os.closerange(0, 65536)
    return Network()
