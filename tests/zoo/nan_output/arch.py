"""Gives NaN in one pixel."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        y[..., 0, 0] = float("nan")
        return y


def srmodel():
    return Network()
