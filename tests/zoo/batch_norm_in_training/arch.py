"""Keeps its batch norm in training mode."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, affine=False)

    def eval(self):
        return self

    def forward(self, x):
        return functional.interpolate(self.norm(x), scale_factor=2.0, mode="nearest")


def srmodel():
    return Network()
