"""Warns a million times."""

import warnings

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        for number in range(20_000):
            warnings.warn(f"warning {number}", stacklevel=1)
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return y


def srmodel():
    return Network()
