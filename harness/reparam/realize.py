"""Convert an affine map to the cheapest equivalent ``Conv2d``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.reparam.affine import AffineMap, symmetric


@dataclass(frozen=True, slots=True)
class ConvolutionForm:
    """Arguments of the ``Conv2d`` that is equivalent to an affine map.

    Attributes
    ----------
    weight
        Shape (out, in / groups, height, width), float64.
    bias
        Shape (out,), float64, or None if no operation of the region had one.
    padding, stride, dilation, groups
        As in :class:`torch.nn.Conv2d`.
    """

    weight: Tensor
    bias: Tensor | None
    padding: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @property
    def macs_per_output(self) -> int:
        """Number of multiply-accumulates per output element."""
        return self.weight[0].numel()

    def module(self, dtype: torch.dtype, device: torch.device) -> nn.Conv2d:
        """Build the convolution in eval mode, with weights rounded to `dtype` and without gradients."""
        out_channels, in_channels, *size = self.weight.shape
        conv = nn.Conv2d(
            in_channels * self.groups,
            out_channels,
            tuple(size),  # type: ignore[arg-type]
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            bias=self.bias is not None,
        )
        # The weights are assigned in float64 and rounded by the cast below.
        conv.weight.data = self.weight.clone()
        if self.bias is not None:
            conv.bias.data = self.bias.clone()  # type: ignore[union-attr]
        return conv.to(device=device, dtype=dtype).requires_grad_(False).eval()


def convolution_form(value: AffineMap, groups: Iterable[int] = ()) -> ConvolutionForm:
    """Return the convolution that is equivalent to a map.

    Parameters
    ----------
    value
        The map; its pixel shuffle is not part of the convolution.
    groups
        Candidate numbers of groups; the largest for which the kernel is block-diagonal is used. Empty for regions of
        dense convolutions, so that incidental zeros do not turn a dense kernel into a slower grouped one.
    """
    value = symmetric(value)
    # Dense kernels of dilated or grouped convolutions contain zeros; restore dilation and groups to avoid computing
    # them.
    kernel, dilation = _condensed(value.kernel)
    count = max((g for g in groups if _is_block_diagonal(kernel, g)), default=1)
    bias = value.bias if value.biased else None
    padding = (value.padding[0], value.padding[2])
    return ConvolutionForm(_blocks(kernel, count), bias, padding, value.stride, dilation, count)


def _condensed(kernel: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Remove the zero rows and columns between the taps of a dilated kernel; return the kernel and its dilation."""
    used = (kernel != 0).any(0).any(0)
    rows = _dilation(used.any(1).tolist())
    columns = _dilation(used.any(0).tolist())
    return kernel[:, :, ::rows, ::columns].contiguous(), (rows, columns)


def _dilation(used: Sequence[bool]) -> int:
    """Return the largest step such that all taps between its multiples are zero."""
    last = len(used) - 1
    # The outermost taps must remain, so only divisors of their distance are possible.
    for step in range(last, 1, -1):
        if last % step == 0 and not any(tap for index, tap in enumerate(used) if index % step):
            return step
    return 1


def _is_block_diagonal(kernel: Tensor, groups: int) -> bool:
    out_channels, in_channels = kernel.shape[:2]
    if out_channels % groups or in_channels % groups:
        return False
    return int((_blocks(kernel, groups) != 0).sum()) == int((kernel != 0).sum())


def _blocks(kernel: Tensor, groups: int) -> Tensor:
    """Return the diagonal blocks of a kernel in the layout of a grouped convolution, shape (out, in / groups, h, w)."""
    rows = kernel.shape[0] // groups
    columns = kernel.shape[1] // groups
    parts = [kernel[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns] for g in range(groups)]
    return torch.cat(parts).contiguous() if groups > 1 else kernel
