"""Bicubic enlargement."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="bicubic", align_corners=False)


def srmodel():
    return Network()
