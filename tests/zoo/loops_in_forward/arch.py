"""Never ends its forward pass."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        while True:
            pass


def srmodel():
    return Network()
