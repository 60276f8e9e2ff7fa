"""Switches gradients on in its forward pass."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        with torch.enable_grad():
            y = functional.interpolate(x * self.gain, scale_factor=2.0, mode="nearest")
        return y


def srmodel():
    return Network()
