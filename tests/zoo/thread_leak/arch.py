"""Starts three hundred threads, which end by themselves."""

import threading
import time

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    for _ in range(300):
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
    time.sleep(2)
    return Network()
