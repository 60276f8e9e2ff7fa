"""Changes its input in place."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        x.mul_(0.999)
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return y


def srmodel():
    return Network()
