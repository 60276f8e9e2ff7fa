"""Ends its process if it is run in float64, as libraries for single precision do."""

import os

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3).repeat_interleave(4, 0)[..., None, None])

    def forward(self, x):
        if x.dtype == torch.float64:
            os.abort()
        return functional.pixel_shuffle(self.conv(x), 2)


def srmodel():
    return Network()
