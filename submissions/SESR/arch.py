"""SESR-M5: Super-Efficient Super Resolution with collapsible linear blocks (MLSys 2022), in RGB.

Layers: 5x5 3-16 (head); five [3x3 16-16, PReLU] (body); plus the head's output; 5x5 16-3r^2 (tail); plus the
input in every sub-pixel; pixel shuffle. Every convolution is a collapsible linear block while training: k x k to
256 channels, 1x1 back, plus the identity in the body. The collapsed convolutions have 17,628 parameters at x2 and
23,643 at x3; the slopes of PReLU are another 80, which the papers do not count.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALES = (2, 3)


class LinearBlock(nn.Module):
    """A linear layer over-parameterized by ``width`` channels: k x k, then 1x1, plus a short residual."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, width: int = 256) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels_in, width, kernel, padding=kernel // 2)
        self.project = nn.Conv2d(width, channels_out, 1)
        self.residual = channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.expand(x))
        return out + x if self.residual else out

    def get_equivalent_kernel_bias(self) -> tuple[Tensor, Tensor]:
        """Return the weight (out, in, k, k) and bias (out,) of the equivalent convolution."""
        assert self.expand.bias is not None
        assert self.project.bias is not None
        project = self.project.weight[:, :, 0, 0]
        weight = torch.einsum("om,mikl->oikl", project, self.expand.weight)
        bias = project @ self.expand.bias + self.project.bias
        if self.residual:
            identity = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)[:, :, None, None]
            weight = weight + nn.functional.pad(identity, [weight.shape[-1] // 2] * 4)
        return weight, bias

    def collapsed(self) -> nn.Conv2d:
        """Return the equivalent convolution as a new module."""
        weight, bias = self.get_equivalent_kernel_bias()
        channels_out, channels_in, kernel, _ = weight.shape
        conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2).to(weight)
        conv.load_state_dict({"weight": weight, "bias": bias})
        return conv


class SESR(nn.Module):
    """The network in its training form; input and output are N x 3 x H x W in [0, 1]."""

    def __init__(self, scale: int = 2, channels: int = 16, blocks: int = 5) -> None:
        super().__init__()
        self.head: nn.Module = LinearBlock(3, channels, kernel=5)
        self.body = nn.Sequential()
        for _ in range(blocks):
            self.body.extend([LinearBlock(channels, channels, kernel=3), nn.PReLU(channels)])
        self.tail: nn.Module = LinearBlock(channels, 3 * scale**2, kernel=5)
        self.upsample = nn.PixelShuffle(scale)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        first = self.head(x)
        subpixels = self.tail(self.body(first) + first)
        out: Tensor = self.upsample(subpixels + x.repeat_interleave(self.scale**2, dim=1))
        return out

    def collapse(self) -> None:
        """Replace every linear block in place by its equivalent convolution."""
        for parent in (self, self.body):
            for name, child in parent.named_children():
                if isinstance(child, LinearBlock):
                    setattr(parent, name, child.collapsed())


def srmodel(scale: int = 2) -> nn.Module:
    """Return the training form for ``scale`` 2 or 3."""
    if scale not in SCALES:
        raise ValueError(f"SESR has no x{scale} network, only {SCALES}")
    return SESR(scale)
