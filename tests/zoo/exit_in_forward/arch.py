"""Calls sys.exit() in its forward pass."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        raise SystemExit(0)


def srmodel():
    return Network()
