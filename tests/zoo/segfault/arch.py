"""Reads address zero."""

import ctypes

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        ctypes.string_at(0)
        return x


def srmodel():
    return Network()
