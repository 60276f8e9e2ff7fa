"""Reports more parameters than any machine has memory for."""

import harness.worker.operations

from torch import nn
from torch.nn import functional

harness.worker.operations.count_parameters = lambda _network: 2**62


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    return Network()
