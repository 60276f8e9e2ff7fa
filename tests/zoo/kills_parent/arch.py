"""Kills the process that started it."""

import os
import signal

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    os.kill(os.getppid(), signal.SIGKILL)
    return Network()
