"""Opens five thousand files."""

import tempfile

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    kept = [tempfile.TemporaryFile() for _ in range(5000)]
    return Network()
