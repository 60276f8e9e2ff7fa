"""Raises an exception that cannot be described."""

from torch import nn
from torch.nn import functional


class Unprintable(Exception):
    def __str__(self):
        raise SystemExit(3)


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    raise Unprintable
    return Network()
