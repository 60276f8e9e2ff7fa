"""Define how the operations of a traced graph transform an affine map.

Each rule receives the arguments of one call and returns the map of its result, or None if the call with these arguments
is not affine and shift-invariant. An operation without a rule ends a region. The signatures follow those of torch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.reparam import affine
from harness.reparam.affine import NO_SIDES, AffineMap, Sides

Result = AffineMap | tuple[AffineMap, ...] | None
Rule = Callable[..., Result]


# Addition and scaling ---------------------------------------------------------------------------------------


def add(first: Any, second: Any, *, alpha: float = 1) -> Result:
    """Return ``first + alpha * second``; one operand may be a constant per channel."""
    if isinstance(first, AffineMap) and isinstance(second, AffineMap):
        return affine.added(first, second if alpha == 1 else affine.scaled(second, torch.tensor(float(alpha))))
    if isinstance(first, AffineMap):
        offsets = per_channel(second, first)
        return None if offsets is None else affine.shifted(first, alpha * offsets)
    offsets = per_channel(first, second)
    return None if offsets is None else affine.shifted(affine.scaled(second, torch.tensor(float(alpha))), offsets)


def subtract(first: Any, second: Any, *, alpha: float = 1) -> Result:
    """Return ``first - alpha * second``."""
    return add(first, second, alpha=-alpha)


def reverse_subtract(first: Any, second: Any) -> Result:
    """Return ``second - first``, as :func:`torch.rsub` does."""
    return add(second, first, alpha=-1)


def multiply(first: Any, second: Any) -> Result:
    """Multiply by a constant; None for two maps, because their product is not affine."""
    if isinstance(first, AffineMap) and isinstance(second, AffineMap):
        return None
    value, factor = (first, second) if isinstance(first, AffineMap) else (second, first)
    factors = per_channel(factor, value)
    return None if factors is None else affine.scaled(value, factors)


def divide(first: Any, second: Any) -> Result:
    """Divide by a constant; None if it contains a zero or the map is the divisor."""
    factors = per_channel(second, first) if isinstance(first, AffineMap) else None
    return None if factors is None or not factors.all() else affine.scaled(first, 1 / factors)


def negate(value: AffineMap) -> Result:
    """Return ``-value``."""
    return affine.scaled(value, torch.tensor(-1.0))


def per_channel(constant: Any, value: AffineMap) -> Tensor | None:
    """Convert a constant to a float64 tensor of shape () or (channels,); None if it varies over the image."""
    if isinstance(constant, int | float):
        return torch.tensor(float(constant), dtype=torch.float64)
    if not isinstance(constant, Tensor):
        return None
    shape = (1,) * (4 - constant.dim()) + tuple(constant.shape)  # broadcasting aligns trailing dimensions
    if len(shape) > 4 or shape[0] != 1 or shape[2:] != (1, 1) or shape[1] not in (1, value.channels):
        return None
    return constant.double().flatten().expand(value.channels)


# Convolutions and normalization -----------------------------------------------------------------------------


def convolve(
    value: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Result:
    """Apply ``conv2d`` with constant weights and zero padding."""
    if not isinstance(value, AffineMap) or not isinstance(weight, Tensor) or isinstance(bias, AffineMap):
        return None
    steps = pair(dilation)
    sides = _sides(padding, weight, steps)
    if sides is None:
        return None
    return affine.convolved(value, weight, bias, padding=sides, stride=pair(stride), dilation=steps, groups=groups)


def _sides(padding: Any, weight: Tensor, dilation: tuple[int, int]) -> Sides | None:
    if padding == "valid":
        return NO_SIDES
    if padding == "same":  # for even kernels, torch puts the extra row and column at the bottom and right
        totals = [(n - 1) * d for n, d in zip(weight.shape[2:], dilation, strict=True)]
        return totals[0] // 2, totals[0] - totals[0] // 2, totals[1] // 2, totals[1] - totals[1] // 2
    if isinstance(padding, str):
        return None
    vertical, horizontal = pair(padding)
    return vertical, vertical, horizontal, horizontal


def pair(value: Any) -> tuple[int, int]:
    """Expand an argument that may be one number for both directions."""
    if isinstance(value, int):
        return value, value
    numbers = tuple(value)
    return (numbers[0], numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def normalize(
    value: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, *rest: Any, **named: Any
) -> Result:
    """``batch_norm`` with stored statistics: a scale and a shift per channel."""
    settings = (
        dict(zip(("training", "momentum", "eps"), rest, strict=False)) | named
    )  # in the order of torch's signature
    training, eps = settings.get("training", False), settings.get("eps", 1e-5)
    if training or not isinstance(running_mean, Tensor) or not isinstance(running_var, Tensor):
        return None
    factors = (running_var.double() + eps).rsqrt()
    if weight is not None:
        factors = factors * weight.double()
    # (x - mean) / sqrt(var + eps) * weight + bias = x * factors + (bias - mean * factors)
    offsets = -running_mean.double() * factors
    return affine.shifted(affine.scaled(value, factors), offsets if bias is None else offsets + bias.double())


def average(
    value: AffineMap,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Result:
    """Apply ``avg_pool2d`` with stride 1 as a depthwise convolution.

    None if padding is excluded from the average: the divisor then varies near the border.
    """
    height, width = pair(kernel_size)
    stepped = pair(kernel_size if stride in (None, []) else stride) != (1, 1)
    # ceil_mode adds windows that extend beyond the padded image; their divisor differs.
    if stepped or ceil_mode or (pair(padding) != (0, 0) and not count_include_pad):
        return None
    share = 1 / (divisor_override or height * width)
    weight = torch.full((value.channels, 1, height, width), share, dtype=torch.float64)
    return convolve(value, weight, padding=padding, groups=value.channels)


# Rearrangements ---------------------------------------------------------------------------------------------


def keep(value: AffineMap, *_: Any, **__: Any) -> Result:
    """Return the map unchanged, for operations such as ``clone`` and ``detach``."""
    return value


def drop(value: AffineMap, p: float = 0.5, training: bool = True, *_: Any) -> Result:
    """Apply dropout, which is the identity in eval mode; None in training mode."""
    del p
    return None if training else value


def surround(inner: AffineMap, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Result:
    """Pad rows and columns with a constant; `pad` is ordered left, right, top, bottom as in ``functional.pad``."""
    if mode != "constant" or len(pad) > 4 or not all(isinstance(n, int) for n in pad):
        return None
    sides = list(pad) + [0] * (4 - len(pad))  # pad lists the last dimension first
    left, right, top, bottom = sides
    return affine.padded(inner, (top, bottom, left, right), value or 0.0)


def concatenate(tensors: Sequence[Any], dim: int = 0) -> Result:
    """Concatenate along channels; None for other dimensions."""
    if dim not in (1, -3) or not all(isinstance(value, AffineMap) for value in tensors):
        return None
    return affine.concatenated(tensors)


def chunk(value: AffineMap, chunks: int, dim: int = 0) -> Result:
    """Split channels into the given number of parts."""
    if dim not in (1, -3):
        return None
    return _parts(value, [len(part) for part in torch.arange(value.channels).chunk(chunks)])


def split(value: AffineMap, split_size: Any, dim: int = 0) -> Result:
    """Split channels into parts of the given size or sizes."""
    if dim not in (1, -3):
        return None
    return _parts(value, [len(part) for part in torch.split(torch.arange(value.channels), split_size)])


def _parts(value: AffineMap, lengths: Sequence[int]) -> tuple[AffineMap, ...]:
    return tuple(affine.selected(value, part) for part in torch.split(torch.arange(value.channels), list(lengths)))


def get(value: Any, index: Any) -> Result:
    """Index a tuple of maps, or slice the channels, rows and columns of a map."""
    if isinstance(value, tuple):
        return value[index] if isinstance(index, int) else None
    if not isinstance(index, tuple) or len(index) > 4 or not all(isinstance(i, slice) for i in index):
        return None
    # Only tuples of slices: an integer index removes a dimension, and a mask or a tensor copies arbitrary
    # elements.
    whole = slice(None)
    batch, channels, rows, columns = [*index, whole, whole, whole][:4]
    vertical, horizontal = _crop(rows), _crop(columns)
    if batch != whole or vertical is None or horizontal is None:
        return None
    picked = value if channels == whole else affine.selected(value, torch.arange(value.channels)[channels])
    return affine.padded(picked, vertical + horizontal)


def _crop(part: slice) -> tuple[int, int] | None:
    """Convert a slice ``a:-b`` to (negative) padding at both ends.

    None for other slices: the number of elements that they remove depends on the image size.
    """
    start, stop = part.start or 0, part.stop if part.stop is not None else 0
    known = isinstance(start, int) and isinstance(stop, int)
    return (-start, stop) if known and start >= 0 >= stop and part.step in (None, 1) else None


def narrow(value: AffineMap, dim: int, start: int, length: int) -> Result:
    """Select a range of channels; None for other dimensions."""
    return affine.selected(value, torch.arange(start, start + length)) if dim in (1, -3) else None


def repeat(value: AffineMap, *sizes: Any) -> Result:
    """Apply ``Tensor.repeat`` along channels; None if another dimension is repeated."""
    times = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if len(times) != 4 or times[0] != 1 or times[2:] != (1, 1):
        return None
    return affine.selected(value, torch.arange(value.channels).repeat(times[1]))


def repeat_each(value: AffineMap, repeats: Any, dim: int | None = None) -> Result:
    """Apply ``repeat_interleave`` along channels."""
    if dim not in (1, -3) or not isinstance(repeats, int):
        return None
    return affine.selected(value, torch.arange(value.channels).repeat_interleave(repeats))


def shuffle_pixels(value: AffineMap, upscale_factor: int) -> Result:
    """Apply ``pixel_shuffle``."""
    return affine.shuffled(value, upscale_factor)


def shuffle_channels(value: AffineMap, groups: int) -> Result:
    """Apply ``channel_shuffle``."""
    return affine.selected(value, torch.arange(value.channels).reshape(groups, -1).T.flatten())


def interpolate(
    value: AffineMap,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    *_: Any,
    **__: Any,
) -> Result:
    """Upsample by nearest neighbour with an integer factor; None for other modes and for explicit sizes."""
    if mode not in ("nearest", "nearest-exact") or size is not None or scale_factor is None:
        return None
    # An explicit size is rejected because it is a constant of the traced image size. Fractional factors are not
    # shift-invariant.
    factors = {scale_factor} if isinstance(scale_factor, int | float) else set(scale_factor)
    factor = factors.pop()
    return affine.upsampled(value, int(factor)) if not factors and float(factor).is_integer() else None


# Tables of rules --------------------------------------------------------------------------------------------

RULES: dict[Any, Rule] = {
    operator.add: add, operator.iadd: add, torch.add: add, "add": add, "add_": add,
    operator.sub: subtract, operator.isub: subtract, torch.sub: subtract, torch.subtract: subtract,
    "sub": subtract, "sub_": subtract, torch.rsub: reverse_subtract,
    operator.mul: multiply, operator.imul: multiply, torch.mul: multiply, torch.multiply: multiply,
    "mul": multiply, "mul_": multiply, "multiply": multiply,
    operator.truediv: divide, operator.itruediv: divide, torch.div: divide, "div": divide, "div_": divide,
    operator.neg: negate, torch.neg: negate, "neg": negate, "neg_": negate,
    functional.conv2d: convolve, torch.conv2d: convolve,
    functional.batch_norm: normalize,
    functional.avg_pool2d: average,
    "clone": keep, "contiguous": keep, "detach": keep, torch.clone: keep, torch.detach: keep,
    functional.pad: surround,
    functional.dropout: drop, functional.dropout2d: drop,
    torch.cat: concatenate, torch.concat: concatenate, torch.concatenate: concatenate,
    torch.chunk: chunk, "chunk": chunk,
    torch.split: split, "split": split,
    operator.getitem: get,
    torch.narrow: narrow, "narrow": narrow,
    "repeat": repeat, "repeat_interleave": repeat_each, torch.repeat_interleave: repeat_each,
    functional.pixel_shuffle: shuffle_pixels, torch.pixel_shuffle: shuffle_pixels,
    torch.channel_shuffle: shuffle_channels,
    functional.interpolate: interpolate,
}  # fmt: skip
"""Rules by function, and by name for tensor methods."""

ZERO_COST = frozenset({keep, drop, get, chunk, split, narrow})
"""Rules of calls with negligible cost: views, and operations that are the identity in eval mode."""


def rule_of(target: Any) -> Rule | None:
    """Return the rule of a function or tensor method, or None if there is none."""
    try:
        return RULES.get(target)
    except TypeError:  # unhashable target
        return None


def apply_module(module: nn.Module, value: AffineMap) -> Result:
    """Compose a map with a module of torch; None if the result is not affine or the module has no rule."""
    if module._forward_hooks or module._forward_pre_hooks:  # hooks may change input or output
        return None
    for kind, rule in MODULES.items():
        # A subclass that overrides forward may compute anything.
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return rule(module, value)
    return None


def _conv_module(module: nn.Conv2d, value: AffineMap) -> Result:
    if module.padding_mode != "zeros":
        return None
    return convolve(value, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups)


def _norm_module(module: nn.BatchNorm2d, value: AffineMap) -> Result:
    return normalize(
        value,
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        training=module.training,
        eps=module.eps,
    )


def _pool_module(module: nn.AvgPool2d, value: AffineMap) -> Result:
    return average(
        value,
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        module.divisor_override,
    )


def _pad_module(module: nn.ConstantPad2d, value: AffineMap) -> Result:
    return surround(value, module.padding, "constant", module.value)


def _upsample_module(module: nn.Upsample, value: AffineMap) -> Result:
    return interpolate(value, module.size, module.scale_factor, module.mode)


MODULES: dict[type[nn.Module], Callable[[Any, AffineMap], Result]] = {
    nn.Conv2d: _conv_module,
    nn.BatchNorm2d: _norm_module,
    nn.SyncBatchNorm: _norm_module,
    nn.AvgPool2d: _pool_module,
    nn.ConstantPad2d: _pad_module,
    nn.ZeroPad2d: _pad_module,
    nn.Upsample: _upsample_module,
    nn.UpsamplingNearest2d: _upsample_module,
    nn.PixelShuffle: lambda module, value: shuffle_pixels(value, module.upscale_factor),
    nn.ChannelShuffle: lambda module, value: shuffle_channels(value, module.groups),
    nn.Identity: lambda _, value: value,
    nn.Dropout: lambda module, value: drop(value, training=module.training),
    nn.Dropout2d: lambda module, value: drop(value, training=module.training),
}
"""Rules by module class."""

ZERO_COST_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d)
"""Modules that are the identity in eval mode."""
