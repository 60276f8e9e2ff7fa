"""Leaves a detached process behind in its forward pass, and another one at the end of its own process."""

import atexit
import os
import time

from torch import nn
from torch.nn import functional


def leave():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.has_left = False
        atexit.register(leave)

    def forward(self, x):
        if not self.has_left:
            self.has_left = True
            leave()
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    return Network()
