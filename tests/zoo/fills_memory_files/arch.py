"""Writes four gibibytes into memory files that it does not map."""

import os
import time

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    kept = [os.memfd_create("m") for _ in range(128)]
    for file in kept:
        os.write(file, bytes(32 << 20))
    time.sleep(8)  # long enough that a watcher on a busy machine counts them
    return Network()
