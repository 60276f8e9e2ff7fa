"""Its deep copy is the network itself."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        return functional.interpolate(x * self.gain, scale_factor=2.0, mode="bicubic", align_corners=False)


def srmodel():
    return Network()
