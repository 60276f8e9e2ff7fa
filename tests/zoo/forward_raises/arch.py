"""Its forward pass raises."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        raise RuntimeError("this is no photograph")


def srmodel():
    return Network()
