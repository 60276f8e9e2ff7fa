"""LRSRN: Lightweight Real-time image Super-Resolution Network (team z6, CVPRW 2023).

Layers: 3-32 ReLU (head); four [RepConv 32-32, ReLU] (body); plus the head's output; 32-3r^2 (tail); pixel shuffle.
All 3x3. At x3 the head and the tail are RepConv too. After :meth:`LRSRN.fuse_model` every RepConv is one 3x3
convolution: 41,356 parameters at x2 and 45,691 at x3, from 333,196 and 426,166.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALES = (2, 3)


class RepConv(nn.Module):
    """A linear 3x3 layer: 3x3 to ``width`` channels, 1x1 back, plus a shortcut.

    The shortcut is the identity if the numbers of channels agree, else a 1x1 convolution. Because the padded 3x3 comes
    first and the 1x1 needs no padding, the block equals one 3x3 convolution at the border as well.
    """

    def __init__(self, channels_in: int, channels_out: int, width: int = 256) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels_in, width, 3, padding=1)
        self.reduce = nn.Conv2d(width, channels_out, 1)
        self.shortcut = None if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.reduce(self.expand(x))
        return out + (x if self.shortcut is None else self.shortcut(x))

    def get_equivalent_kernel_bias(self) -> tuple[Tensor, Tensor]:
        """Return the weight (out, in, 3, 3) and bias (out,) of the equivalent convolution."""
        assert self.expand.bias is not None
        assert self.reduce.bias is not None
        reduce = self.reduce.weight[:, :, 0, 0]
        weight = torch.einsum("om,mikl->oikl", reduce, self.expand.weight)
        bias = reduce @ self.expand.bias + self.reduce.bias
        if self.shortcut is None:
            point = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)[:, :, None, None]
        else:
            assert self.shortcut.bias is not None
            point = self.shortcut.weight
            bias = bias + self.shortcut.bias
        return weight + nn.functional.pad(point, (1, 1, 1, 1)), bias

    def fused(self) -> nn.Conv2d:
        """Return the equivalent convolution as a new module."""
        weight, bias = self.get_equivalent_kernel_bias()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1).to(weight)
        conv.load_state_dict({"weight": weight, "bias": bias})
        return conv


class LRSRN(nn.Module):
    """The network in its training form; input and output are N x 3 x H x W in [0, 1]."""

    def __init__(self, scale: int = 2, channels: int = 32, blocks: int = 4) -> None:
        super().__init__()
        tail_channels = 3 * scale * scale
        self.head: nn.Module
        self.tail: nn.Module
        if scale == 3:
            self.head, self.tail = RepConv(3, channels), RepConv(channels, tail_channels)
        else:
            self.head = nn.Conv2d(3, channels, 3, padding=1)
            self.tail = nn.Conv2d(channels, tail_channels, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.body = nn.Sequential()
        for _ in range(blocks):
            self.body.extend([RepConv(channels, channels), nn.ReLU(inplace=True)])
        self.upsample = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        features = self.act(self.head(x))
        out: Tensor = self.upsample(self.tail(self.body(features) + features))
        return out

    def fuse_model(self) -> None:
        """Replace every RepConv in place by its equivalent convolution."""
        for parent in (self, self.body):
            for name, child in parent.named_children():
                if isinstance(child, RepConv):
                    setattr(parent, name, child.fused())


def srmodel(scale: int = 2) -> nn.Module:
    """Return the training form for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"LRSRN has no x{scale} network, only {SCALES}")
    return LRSRN(scale)
