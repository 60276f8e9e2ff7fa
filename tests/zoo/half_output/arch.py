"""Returns float16."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return y.half()


def srmodel():
    return Network()
