"""Makes 30,000 folders and as many symbolic links in the folder of shared memory."""

import os
import time

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    for number in range(30_000):
        os.mkdir(f"/dev/shm/{number}")
        os.symlink("nowhere", f"/tmp/{number}")
    time.sleep(8)  # long enough that a watcher on a busy machine counts them
    return Network()
