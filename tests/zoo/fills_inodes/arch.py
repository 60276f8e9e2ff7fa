"""Makes 150,000 empty files in its temporary folder."""

import os
import time

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    for number in range(150_000):
        os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
    time.sleep(8)  # long enough that a watcher on a busy machine counts them
    return Network()
