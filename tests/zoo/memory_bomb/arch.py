"""Takes a gibibyte more than it may, and no more than that."""

import resource
import torch

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    kept, taken = [], 0
    while taken < min(limit, 32 << 30) + (1 << 30):
        kept.append(torch.empty(256 << 20, dtype=torch.uint8))  # reserved, never touched
        taken += 256 << 20
    return Network()
