"""Upscales by three."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=3.0, mode="nearest")


def srmodel():
    return Network()
