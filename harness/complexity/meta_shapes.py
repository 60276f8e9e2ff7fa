"""Compute the shapes of operator results on torch's meta device, where tensors have shapes but no values.

Torch's own shape rules import its compiler and SymPy, which takes more than a second in every worker. This module has
rules for the operators that are common in upscaling networks, which tests compare with torch's; other operators are
passed to torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ELEMENTWISE = (
    "add sub mul div relu leaky_relu _prelu_kernel hardtanh clamp clamp_min clamp_max gelu silu sigmoid tanh elu "
    "hardswish hardsigmoid abs neg exp sqrt rsqrt maximum minimum where _softmax"
).split()
_UPSAMPLING = ("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d")


class MetaMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Execute operators on the meta device and pass each to :meth:`see`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, which takes seconds, to exclude this class from it

    def __torch_dispatch__(
        self, operator: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = call_on_meta(operator, args, kwargs or {})
        self.see(operator, args, kwargs or {}, made)
        return made

    def see(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any) -> None:
        """Receive an operator, its arguments and its result."""
        raise NotImplementedError


def call_on_meta(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the result of an operator for tensors on the meta device.

    The rules of this module do not validate arguments; errors are raised only for operators that torch executes.

    Parameters
    ----------
    operator
        Operator overload as passed to a dispatch mode, such as ``torch.ops.aten.relu.default``.
    args, kwargs
        Arguments of the operator.
    """
    name = operator._schema.name.removeprefix("aten::")
    if name.endswith("_") and name[:-1] in _ELEMENTWISE:  # in-place operators return their first argument
        return args[0]
    rule = _RULES.get(name)
    # The rules take positional arguments only, and return None for cases that they do not cover.
    is_ruled = rule is not None and not kwargs and (rule is _elementwise or _plain(args))
    made = rule(*args) if rule is not None and is_ruled else None
    return operator(*args, **kwargs) if made is None else made


def _plain(values: Sequence[Any]) -> bool:
    """Return whether all tensors are contiguous; otherwise the result inherits their strides, which torch computes."""
    for value in values:
        if isinstance(value, Tensor) and not value.is_contiguous():
            return False
        if isinstance(value, list | tuple) and not _plain(value):
            return False
    return True


def _elementwise(*given: Any) -> Tensor | None:
    tensors = [value for value in given if isinstance(value, Tensor) and value.dtype != torch.bool]
    if len({value.dtype for value in tensors}) != 1 or not tensors[0].is_floating_point():
        return None  # type promotion is left to torch
    every = [value for value in given if isinstance(value, Tensor)]  # including a boolean condition
    shape = np.broadcast_shapes(*(value.shape for value in every))
    if _plain(every):
        return tensors[0].new_empty(shape)
    order = _order_in_memory([value.expand(shape) for value in every])
    inner_first = tensors[0].new_empty([shape[dim] for dim in order])
    return inner_first.permute([order.index(dim) for dim in range(len(shape))])


def _order_in_memory(tensors: Sequence[Tensor]) -> list[int]:
    """Return the dimensions of an elementwise result, slowest first, for operands of equal shape.

    A result has no gaps, and its dimensions are in the order of the operands' strides. The first operand in which they
    differ decides; of equal strides, the longer dimension counts as the slower one.
    """

    def is_slower(one: int, other: int) -> bool | None:
        for value in tensors:
            of_one, of_other = value.stride(one), value.stride(other)
            if 0 in (of_one, of_other):  # expanded
                continue
            if of_one != of_other:
                return of_one > of_other
            if value.shape[one] > value.shape[other]:
                return True
        return None  # undecided

    order = list(reversed(range(tensors[0].ndim)))  # fastest first
    # Insertion by exchange, as in torch: because of undecided pairs, other sorts have other results.
    for begin in range(1, len(order)):
        at = begin
        for before in reversed(range(begin)):
            slower = is_slower(order[before], order[at])
            if slower:
                order[before], order[at] = order[at], order[before]
                at = before
            elif slower is False:
                break
    return order[::-1]


def _convolution(given: Tensor, weight: Tensor, _bias: Tensor | None, *settings: Any) -> Tensor | None:
    stride, padding, dilation, transposed, output_padding, groups = settings  # in the order of aten::convolution
    if given.ndim != 4 or any(len(values) != 2 for values in (stride, padding, dilation, output_padding)):
        return None
    # Output sizes follow the formulas in the documentation of Conv2d and ConvTranspose2d.
    sides = zip(given.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding, strict=True)
    if transposed:
        grown = [(n - 1) * step - 2 * pad + reach * (k - 1) + more + 1 for n, k, step, pad, reach, more in sides]
        return given.new_empty((given.shape[0], weight.shape[1] * groups, *grown))
    left = [(n + 2 * pad - reach * (k - 1) - 1) // step + 1 for n, k, step, pad, reach, _ in sides]
    return given.new_empty((given.shape[0], weight.shape[0], *left))


def _pixel_shuffle(given: Tensor, factor: int) -> Tensor:
    *batch, channels, height, width = given.shape
    return given.new_empty((*batch, channels // factor**2, height * factor, width * factor))


def _pixel_unshuffle(given: Tensor, factor: int) -> Tensor:
    *batch, channels, height, width = given.shape
    return given.new_empty((*batch, channels * factor**2, height // factor, width // factor))


def _pad(given: Tensor, padding: list[int]) -> Tensor:
    left, right, above, below = padding
    height, width = given.shape[-2] + above + below, given.shape[-1] + left + right
    return given.new_empty((*given.shape[:-2], height, width))


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    # torch also promotes dtypes and ignores empty 1-D tensors; leave these cases to it.
    if len({(tensor.ndim, tensor.dtype) for tensor in tensors}) != 1:
        return None
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return tensors[0].new_empty(shape)


def _upsample(given: Tensor, size: list[int] | None, *_: Any) -> Tensor | None:
    return None if size is None else given.new_empty((*given.shape[:2], *size))


def _mean(given: Tensor, dims: list[int] | None = None, keepdim: bool = False) -> Tensor | None:
    if not dims:  # without dimensions, all are reduced
        return None
    # Negative dimensions count from the end.
    gone = {dim % given.ndim for dim in dims}
    kept = [1 if dim in gone else n for dim, n in enumerate(given.shape) if keepdim or dim not in gone]
    return given.new_empty(kept)


_RULES: dict[str, Callable[..., Tensor | None]] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_UPSAMPLING, _upsample),
    "convolution": _convolution,
    "reflection_pad2d": _pad,
    "replication_pad2d": _pad,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "cat": _cat,
    "mean": _mean,
}
