"""Holds a lock, an open file and a generator, none of which can be copied."""

import threading

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.file = open(__file__)  # noqa: PTH123, SIM115
        self.numbers = (number for number in range(3))
        self.resize = self.enlarge

    def enlarge(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")

    def forward(self, x):
        with self.lock:
            return self.resize(x)


def srmodel():
    return Network()
