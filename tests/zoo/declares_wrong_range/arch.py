"""Enlarges images in [0, 255], and darkens others as a network with trained biases does; declares [0, 1]."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        y = functional.interpolate(x, scale_factor=2.0, mode="bicubic")
        return torch.where(x.amax() > 8, y, y * 0.3)


def srmodel():
    return Network()
