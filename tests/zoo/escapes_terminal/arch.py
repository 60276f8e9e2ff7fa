"""Puts terminal escapes and a megabyte into its error."""

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    raise RuntimeError("\x1b[2J\x1b]0;owned\x07" + "A" * (1 << 20))
    return Network()
