"""Takes one thread, or sixty-four."""

import torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(64)


class Network(nn.Module):
    def forward(self, x):
        torch.set_num_threads(1)
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return y


def srmodel():
    return Network()
