"""RT4KSR: Towards Real-Time 4K Image Super-Resolution (organisers' baseline, CVPRW 2023).

Layers: pixel unshuffle 2; 3x3 12-24 (head); four [LayerNorm2d, ResBlock, GELU] (body); LayerNorm2d, ResBlock (tail);
3x3 24-3(2r)^2, pixel shuffle 2r (upsample). A second branch (hfb) applies the same head, a ResBlock and GELU to the
high frequencies, the difference of the input and its blur by a 5x5 Gaussian of sigma 1. A ResBlock is 1x1 to 48, 3x3
plus identity, 1x1 back, plus identity; after :meth:`RT4KSR.reparameterize` it is one 3x3: 44,521 parameters at x2 and
57,541 at x3, from 152,233 and 165,253.

The paper adds the branches as ``gamma * body + hfb``. The released weights were trained without this sum: ``gamma`` is
still 0, and only the body is used. Here the sum is ``body + gamma * hfb``. It describes the same family of networks
because the tail starts with a normalisation, and it equals the released network for ``gamma`` 0.

Module names are those of the released state dict.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES = (2, 3)


class ResBlock(nn.Module):
    """A linear 3x3 layer: 1x1 to twice the channels, 3x3 plus identity, 1x1 back, plus identity.

    The input is padded before the first 1x1, so that the block equals one 3x3 convolution at the border as well.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand_conv = nn.Conv2d(channels, 2 * channels, 1)
        self.fea_conv = nn.Conv2d(2 * channels, 2 * channels, 3)
        self.reduce_conv = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.expand_conv(functional.pad(x, (1, 1, 1, 1)))
        out: Tensor = self.reduce_conv(self.fea_conv(wide) + wide[:, :, 1:-1, 1:-1])
        return out + x

    def get_equivalent_kernel_bias(self) -> tuple[Tensor, Tensor]:
        """Return the weight (c, c, 3, 3) and bias (c,) of the equivalent convolution."""
        assert self.expand_conv.bias is not None
        assert self.fea_conv.bias is not None
        assert self.reduce_conv.bias is not None
        expand, reduce = self.expand_conv.weight[:, :, 0, 0], self.reduce_conv.weight[:, :, 0, 0]
        middle = self.fea_conv.weight + _identity(self.fea_conv.weight)
        weight = torch.einsum("om,mnkl,ni->oikl", reduce, middle, expand)
        inner = middle.sum((2, 3)) @ self.expand_conv.bias + self.fea_conv.bias
        return weight + _identity(weight), reduce @ inner + self.reduce_conv.bias

    def merged(self) -> nn.Conv2d:
        """Return the equivalent convolution as a new module."""
        weight, bias = self.get_equivalent_kernel_bias()
        conv = nn.Conv2d(len(weight), len(weight), 3, padding=1).to(weight)
        conv.load_state_dict({"weight": weight, "bias": bias})
        return conv


def _identity(weight: Tensor) -> Tensor:
    """Return the 3x3 identity kernel for as many channels as ``weight`` has outputs."""
    point = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)[:, :, None, None]
    return functional.pad(point, (1, 1, 1, 1))


class LayerNorm2d(nn.Module):
    """Normalisation over the channels of each pixel."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        variance = (centred * centred).mean(dim=1, keepdim=True)  # var_mean takes four times as long on a CPU
        normal = centred / (variance + self.eps).sqrt()
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


class NAFBlock(nn.Module):
    """Normalisation, a linear 3x3 layer, GELU; no residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1: nn.Module = ResBlock(channels)
        self.norm = LayerNorm2d(channels)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv1(self.norm(x)))
        return out


class Gaussian(nn.Module):
    """5x5 Gaussian blur of sigma 1 on N x 3 x H x W, with reflection padding."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.exp(-0.5 * torch.arange(-2.0, 3.0) ** 2)
        kernel = torch.outer(taps, taps) / taps.sum() ** 2
        self.register_buffer("kernel", kernel.expand(3, 1, 5, 5).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, groups=3)


class RT4KSR(nn.Module):
    """The network in its training form; input and output are N x 3 x H x W in [0, 1], H and W even."""

    def __init__(self, scale: int = 2, channels: int = 24, blocks: int = 4) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.gaussian = Gaussian()
        self.down = nn.PixelUnshuffle(2)
        self.head = nn.Sequential(nn.Conv2d(12, channels, 3, padding=1))
        self.hfb = nn.Sequential(ResBlock(channels), nn.GELU())
        self.body = nn.Sequential(*(NAFBlock(channels) for _ in range(blocks)))
        self.tail = nn.Sequential(LayerNorm2d(channels), ResBlock(channels))
        self.upsample = nn.Sequential(
            nn.Conv2d(channels, 3 * (2 * scale) ** 2, 3, padding=1), nn.PixelShuffle(2 * scale)
        )

    def forward(self, x: Tensor) -> Tensor:
        details = self.hfb(self.head(self.down(x - self.gaussian(x))))
        features = self.body(self.head(self.down(x))) + self.gamma * details
        out: Tensor = self.upsample(self.tail(features))
        return out

    def reparameterize(self) -> None:
        """Replace every ResBlock in place by its equivalent convolution."""
        for parent in (self.hfb, *self.body, self.tail):
            for name, child in parent.named_children():
                if isinstance(child, ResBlock):
                    setattr(parent, name, child.merged())


def srmodel(scale: int = 2) -> nn.Module:
    """Return the training form for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"RT4KSR has no x{scale} network, only {SCALES}")
    return RT4KSR(scale)
