"""Aborts the process."""

import os

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        os.abort()


def srmodel():
    return Network()
