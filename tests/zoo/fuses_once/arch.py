"""Fuses its branches in train(False), which can be called once."""

import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.main, self.branch = nn.Conv2d(3, 12, 1, bias=False), nn.Conv2d(3, 12, 1, bias=False)
        with torch.no_grad():
            for layer in (self.main, self.branch):
                layer.weight.copy_(0.5 * torch.eye(3).repeat_interleave(4, 0)[..., None, None])

    def train(self, mode=True):
        if not mode:
            with torch.no_grad():
                self.main.weight.add_(self.branch.weight)
            del self.branch
        return super().train(mode)

    def forward(self, x):
        y = self.main(x) + self.branch(x) if self.training else self.main(x)
        return functional.pixel_shuffle(y, 2)


def srmodel():
    return Network()
