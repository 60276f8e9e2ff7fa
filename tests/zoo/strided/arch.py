"""Has a stride of two: odd sizes give a larger image."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x[..., ::2, ::2], scale_factor=4.0, mode="nearest")


def srmodel():
    return Network()
