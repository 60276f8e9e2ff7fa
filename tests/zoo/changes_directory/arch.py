"""Works elsewhere from now on."""

import os
import tempfile

import torch
from torch import nn
from torch.nn import functional

os.chdir("/")


class Network(nn.Module):
    def forward(self, x):
        os.chdir(tempfile.gettempdir())
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return y


def srmodel():
    return Network()
