"""The algebra of affine, shift-invariant maps of images, borders included.

Every such map of a region is held as the one convolution that it equals: a kernel, a bias and an explicit zero
padding of its input, which may be asymmetric or negative. Output row ``i`` is

    y[i] = bias + sum over m of kernel[m] * x[s * i - top + m],    x[r] = 0 outside the image,

so rules for the border are rules for the padding:

- a valid (unpadded) convolution on top leaves the padding as it is and convolves the kernels;
- padding the *result* with a constant by ``a`` rows equals padding the input by ``a`` more rows exactly where the
  added rows would hold nothing but the bias: the padding already reaches over the whole kernel on that side
  (``top >= height - 1``) and the constant is the bias. That is why a biased 1x1 before a zero-padded 3x3 is not one
  convolution, and why two zero-padded 3x3 are not one 5x5;
- cropping the result takes rows of padding away, down to negative ones.

Arithmetic is in float64. ``exact`` says whether every step kept these rules; where it is False the map is right in
the interior only. ``shuffle`` is a pixel shuffle that follows the convolution, so that a sum at the high resolution
(nearest-upsampled input plus a shuffled convolution) is a sum of kernels at the low one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

Sides = tuple[int, int, int, int]
"""Rows and columns at the top, bottom, left and right."""

NO_SIDES: Sides = (0, 0, 0, 0)

SAME_FILL = 1e-14
"""A padded constant counts as the bias where they differ by no more than this, relative to the larger."""


@dataclass(frozen=True, slots=True)
class AffineMap:
    """One convolution, and the pixel shuffle that follows it.

    Attributes
    ----------
    kernel
        Shape (out, in, height, width), float64, dense over all input channels.
    bias
        Shape (out,), float64.
    padding
        Zero rows and columns around the input; negative ones crop.
    stride
        Step of the output's rows and columns.
    shuffle
        Factor of the pixel shuffle after the convolution; 1 for none.
    exact
        False where the border differs from what was composed.
    biased
        Whether any step had a bias, zero or not: the convolution that replaces them has one then.
    """

    kernel: Tensor
    bias: Tensor
    padding: Sides = NO_SIDES
    stride: tuple[int, int] = (1, 1)
    shuffle: int = 1
    exact: bool = True
    biased: bool = False

    @property
    def channels(self) -> int:
        """Number of output channels, after the pixel shuffle."""
        return int(self.kernel.shape[0]) // self.shuffle**2

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return int(self.kernel.shape[2]), int(self.kernel.shape[3])

    @property
    def is_plain(self) -> bool:
        """Whether a further convolution can follow: neither strided nor shuffled."""
        return self.stride == (1, 1) and self.shuffle == 1


def identity(channels: int) -> AffineMap:
    """Give the map of an image to itself."""
    eye = torch.eye(channels, dtype=torch.float64).reshape(channels, channels, 1, 1)
    return AffineMap(eye, torch.zeros(channels, dtype=torch.float64))


def padded(value: AffineMap, sides: Sides, fill: Tensor | float = 0.0) -> AffineMap | None:
    """Surround the result with a constant; negative sides crop it.

    Parameters
    ----------
    value
        What is padded.
    sides
        Rows and columns to add.
    fill
        The constant, one number or one per channel.

    Returns
    -------
    AffineMap | None
        None where a strided or shuffled result is padded; inexact where the added rows hold more than the bias.
    """
    if sides == NO_SIDES:
        return value
    if not value.is_plain:
        return None
    value = trimmed(value)
    padding = _summed(value.padding, sides)
    reached = all(
        new <= 0 or old >= extent - 1 for old, new, extent in zip(value.padding, sides, _extents(value), strict=True)
    )
    exact = value.exact and (max(sides) <= 0 or (reached and _is_fill(value.bias, fill)))
    return replace(value, padding=padding, exact=exact)


def _summed(first: Sides, second: Sides) -> Sides:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2], first[3] + second[3]


def _extents(value: AffineMap) -> Sides:
    height, width = value.size
    return height, height, width, width


def _is_fill(bias: Tensor, fill: Tensor | float) -> bool:
    constant = torch.as_tensor(fill, dtype=torch.float64).expand_as(bias)
    return bool(((bias - constant).abs() <= SAME_FILL * torch.maximum(bias.abs(), constant.abs())).all())


def convolved(
    value: AffineMap,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    padding: Sides = NO_SIDES,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> AffineMap | None:
    """Apply a zero-padded convolution to the result.

    Parameters
    ----------
    value
        What is convolved.
    weight
        Shape (out, in / groups, height, width).
    bias
        Shape (out,), or None.
    padding, stride, dilation, groups
        As those of :func:`torch.nn.functional.conv2d`.

    Returns
    -------
    AffineMap | None
        None where the result is strided or shuffled and the convolution is more than a plain 1x1.
    """
    weight = _dilated(weight.double(), dilation)
    if not value.is_plain:
        pointwise = weight.shape[2:] == (1, 1) and padding == NO_SIDES and stride == (1, 1) and groups == 1
        return _mixed(value, weight[:, :, 0, 0], bias) if pointwise else None
    surrounded = padded(value, padding)
    if surrounded is None:
        return None
    return replace(
        surrounded,
        kernel=_composed(surrounded.kernel, weight, groups),
        bias=_response(surrounded.bias, weight, groups) + _vector(bias, weight),
        stride=stride,
        biased=surrounded.biased or bias is not None,
    )


def _vector(bias: Tensor | None, weight: Tensor) -> Tensor:
    return torch.zeros(weight.shape[0], dtype=torch.float64) if bias is None else bias.double()


def _composed(first: Tensor, second: Tensor, groups: int) -> Tensor:
    """Convolve two kernels: ``K[m] = sum over j of second[j] first[m - j]``, summed over the channels between."""
    height, width = second.shape[2:]
    if groups > 1:
        images = functional.conv2d(
            first.transpose(0, 1), second.flip(2, 3), padding=(height - 1, width - 1), groups=groups
        )
        return images.transpose(0, 1).contiguous()
    rows, columns = first.shape[2:]
    shape = (second.shape[0], first.shape[1], rows + height - 1, columns + width - 1)
    composed = first.new_zeros(shape)
    for i in range(height):  # one matrix product per tap: float64 convolutions of tiny images are slow
        for j in range(width):
            tap = second[:, :, i, j] @ first.flatten(1)
            composed[:, :, i : i + rows, j : j + columns] += tap.reshape(len(tap), -1, rows, columns)
    return composed


def _response(bias: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Answer of a convolution to a constant image."""
    sums = weight.sum((2, 3))
    return (sums.reshape(groups, -1, sums.shape[1]) @ bias.reshape(groups, -1, 1)).flatten()


def _dilated(weight: Tensor, dilation: tuple[int, int]) -> Tensor:
    if dilation == (1, 1):
        return weight
    height, width = ((n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilation, strict=True))
    spread = weight.new_zeros(*weight.shape[:2], height, width)
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    return spread


def _mixed(value: AffineMap, matrix: Tensor, bias: Tensor | None) -> AffineMap:
    """Mix channels by a matrix; after a pixel shuffle each of its positions is mixed alike."""
    matrix = torch.kron(matrix, torch.eye(value.shuffle**2, dtype=torch.float64))
    shift = torch.zeros(matrix.shape[0], dtype=torch.float64)
    if bias is not None:
        shift = bias.double().repeat_interleave(value.shuffle**2)
    kernel = torch.einsum("om,mihw->oihw", matrix, value.kernel)
    biased = value.biased or bias is not None
    return replace(value, kernel=kernel, bias=matrix @ value.bias + shift, biased=biased)


def scaled(value: AffineMap, factors: Tensor) -> AffineMap:
    """Multiply each channel by its factor; shape (channels,), or () for all."""
    each = _per_channel(value, factors)
    return replace(value, kernel=value.kernel * each[:, None, None, None], bias=value.bias * each)


def shifted(value: AffineMap, offsets: Tensor) -> AffineMap:
    """Add to each channel its offset; shape (channels,), or () for all."""
    return replace(value, bias=value.bias + _per_channel(value, offsets), biased=True)


def _per_channel(value: AffineMap, numbers: Tensor) -> Tensor:
    return numbers.double().expand(value.channels).repeat_interleave(value.shuffle**2)


def added(first: AffineMap, second: AffineMap) -> AffineMap | None:
    """Add two results of the same input; None where their sizes or resolutions differ."""
    if first.channels != second.channels:
        first, second = _broadcast(first, second.channels), _broadcast(second, first.channels)
    pair = aligned((first, second))
    if pair is None or pair[0].channels != pair[1].channels:
        return None
    one, two = pair
    return replace(
        one,
        kernel=one.kernel + two.kernel,
        bias=one.bias + two.bias,
        exact=one.exact and two.exact,
        biased=one.biased or two.biased,
    )


def _broadcast(value: AffineMap, channels: int) -> AffineMap:
    if value.channels != 1:
        return value
    return replace(value, kernel=value.kernel.repeat(channels, 1, 1, 1), bias=value.bias.repeat(channels))


def concatenated(values: Sequence[AffineMap]) -> AffineMap | None:
    """Stack the channels of several results of the same input; None where their sizes or resolutions differ."""
    parts = aligned(values)
    if parts is None:
        return None
    return replace(
        parts[0],
        kernel=torch.cat([part.kernel for part in parts]),
        bias=torch.cat([part.bias for part in parts]),
        exact=all(part.exact for part in parts),
        biased=any(part.biased for part in parts),
    )


def selected(value: AffineMap, channels: Tensor) -> AffineMap:
    """Keep the channels whose indices are given."""
    area = value.shuffle**2
    rows = (channels[:, None] * area + torch.arange(area)).flatten()
    return replace(value, kernel=value.kernel[rows], bias=value.bias[rows])


def upsampled(value: AffineMap, factor: int) -> AffineMap | None:
    """Repeat each pixel ``factor`` times both ways: the pixel shuffle of equal channels."""
    if not value.is_plain:
        return None
    kernel = value.kernel.repeat_interleave(factor**2, 0)
    return replace(value, kernel=kernel, bias=value.bias.repeat_interleave(factor**2), shuffle=factor)


def shuffled(value: AffineMap, factor: int) -> AffineMap | None:
    """Apply a pixel shuffle."""
    return replace(value, shuffle=factor) if value.shuffle == 1 else None


def aligned(values: Sequence[AffineMap]) -> list[AffineMap] | None:
    """Give all maps the same kernel size and padding, by taps of zero; None where their results differ in size."""
    first = values[0]
    if any(value.stride != first.stride or value.shuffle != first.shuffle for value in values):
        return None
    top, left = (max(value.padding[side] for value in values) for side in (0, 2))
    bottom = max(value.size[0] - value.padding[0] for value in values)
    right = max(value.size[1] - value.padding[2] for value in values)
    grown = []
    for value in values:
        above, before = top - value.padding[0], left - value.padding[2]
        below, after = bottom - value.size[0] + value.padding[0], right - value.size[1] + value.padding[2]
        grown.append(enlarged(value, (above, below, before, after)))
    return grown if all(value.padding == grown[0].padding for value in grown) else None


def enlarged(value: AffineMap, sides: Sides) -> AffineMap:
    """Add taps of zero around the kernel, and the padding that keeps the result the same."""
    top, bottom, left, right = sides
    padding = _summed(value.padding, sides)
    return replace(value, kernel=functional.pad(value.kernel, (left, right, top, bottom)), padding=padding)


def trimmed(value: AffineMap) -> AffineMap:
    """Remove outer taps that are zero, and the padding that they needed."""
    used = (value.kernel != 0).any(0).any(0)
    if not used.any():
        return value
    rows, columns = used.any(1).nonzero().flatten(), used.any(0).nonzero().flatten()
    height, width = value.size
    top, bottom = int(rows[0]), height - 1 - int(rows[-1])
    left, right = int(columns[0]), width - 1 - int(columns[-1])
    return enlarged(value, (-top, -bottom, -left, -right))


def symmetric(value: AffineMap) -> AffineMap:
    """Give the padding that ``Conv2d`` can have: alike on opposite sides, not negative."""
    value = trimmed(value)
    top, bottom, left, right = value.padding
    vertical, horizontal = max(top, bottom, 0), max(left, right, 0)
    return enlarged(value, (vertical - top, vertical - bottom, horizontal - left, horizontal - right))


def apply(value: AffineMap, image: Tensor) -> Tensor:
    """Run the map on an image of shape (N, in, H, W) in the image's dtype."""
    top, bottom, left, right = value.padding
    surrounded = functional.pad(image, (left, right, top, bottom))
    result = functional.conv2d(surrounded, value.kernel.to(image), value.bias.to(image), stride=value.stride)
    return functional.pixel_shuffle(result, value.shuffle) if value.shuffle > 1 else result


def inexact(value: AffineMap) -> AffineMap:
    """Mark a map whose border is not that of what it stands for."""
    return replace(value, exact=False)
