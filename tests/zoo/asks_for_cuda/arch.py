"""Takes a GPU for granted while it is built."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.cuda()

    def forward(self, x):
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return y * self.gain


def srmodel():
    network = Network()
    return network.to("cuda:0") if network.gain.device.type else network
