"""Starts three hundred processes, which end by themselves."""

import os
import time

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    for _ in range(300):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    time.sleep(8)  # long enough that a watcher on a busy machine counts them
    return Network()
