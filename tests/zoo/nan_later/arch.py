"""Gives NaN from its fifth call on."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        self.calls += 1
        if self.calls > 4:
            y[..., 0, 0] = float("nan")
        return y


def srmodel():
    return Network()
