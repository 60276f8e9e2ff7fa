"""Its checkpoint is a Git LFS pointer."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        return functional.pixel_shuffle(self.conv(x), 2)


def srmodel():
    return Network()
