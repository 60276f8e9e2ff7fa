"""Forgets to return."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        y.clamp_(0, 1)


def srmodel():
    return Network()
