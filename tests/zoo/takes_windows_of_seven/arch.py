"""Works in windows of seven, which its manifest does not state."""

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        batch, channels, height, width = x.shape
        windows = x.view(batch, channels, height // 7, 7, width // 7, 7)
        return functional.interpolate(windows.view_as(x), scale_factor=2.0, mode="nearest")


def srmodel():
    return Network()
