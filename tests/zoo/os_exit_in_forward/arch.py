"""Ends the process in its forward pass."""

import os

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        os._exit(0)


def srmodel():
    return Network()
