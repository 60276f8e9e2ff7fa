"""Fills its temporary folder, and stops after two gibibytes."""

import tempfile

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    with tempfile.TemporaryFile() as file:
        file.truncate(0)
        for _ in range(2048):
            file.write(bytes(1 << 20))
    return Network()
