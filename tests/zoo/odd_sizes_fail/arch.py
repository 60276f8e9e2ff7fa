"""Unshuffles by two, so odd sizes raise."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        y = functional.pixel_shuffle(functional.pixel_unshuffle(x, 2), 2)
        return functional.interpolate(y, scale_factor=2.0, mode="nearest")


def srmodel():
    return Network()
