"""Compose affine, shift-invariant maps of images exactly, including their behaviour at image borders.

Every map is stored as one equivalent convolution: a kernel, a bias and an explicit zero padding of the input, which may
be asymmetric or negative. With stride ``s``, output row ``i`` is

    y[i] = bias + sum over m of kernel[m] * x[s * i - top + m],    x[r] = 0 outside the image.

Border behaviour is therefore determined by the padding:

- Applying a valid (unpadded) convolution convolves the kernels and leaves the padding unchanged.
- Padding the *result* with ``a`` rows of a constant is equivalent to padding the input with ``a`` more rows if and
  only if those added rows would contain only the bias. This requires that the existing padding covers the whole kernel
  on that side (``top >= height - 1``) and that the constant equals the bias. Hence a biased 1x1 convolution followed
  by a zero-padded 3x3 is not one convolution, and two zero-padded 3x3 convolutions are not one 5x5.
- Cropping the result removes rows of padding; the padding may become negative.

Arithmetic is in float64. ``exact`` is True if every step satisfied these conditions; otherwise the map is correct only
in the interior of the image. ``shuffle`` is the factor of a pixel shuffle after the convolution. It allows a sum at
high resolution (nearest-upsampled input plus a shuffled convolution) to be computed as a sum of kernels at low
resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

Sides = tuple[int, int, int, int]
"""Numbers of rows or columns at the top, bottom, left and right, in this order."""

NO_SIDES: Sides = (0, 0, 0, 0)

SAME_FILL = 1e-14
"""Largest relative difference at which a padding constant is considered equal to the bias (about 50 float64 ulps)."""


@dataclass(frozen=True, slots=True)
class AffineMap:
    """A convolution followed by an optional pixel shuffle.

    Attributes
    ----------
    kernel
        Shape (out, in, height, width), float64, dense over all input channels (``groups=1``).
    bias
        Shape (out,), float64.
    padding
        Zero rows and columns added around the input; negative values crop the input.
    stride
        Vertical and horizontal stride.
    shuffle
        Upscaling factor of the pixel shuffle after the convolution; 1 if there is none.
    exact
        False if the result at the border differs from that of the composed operations.
    biased
        Whether any composed operation had a bias, even a zero one. The resulting convolution then has a bias, too.
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
        """Whether any convolution can be composed after this map, that is, it has no stride and no pixel shuffle."""
        return self.stride == (1, 1) and self.shuffle == 1


def identity(channels: int) -> AffineMap:
    """Return the identity map for images with `channels` channels."""
    eye = torch.eye(channels, dtype=torch.float64).reshape(channels, channels, 1, 1)
    return AffineMap(eye, torch.zeros(channels, dtype=torch.float64))


def padded(value: AffineMap, sides: Sides, fill: Tensor | float = 0.0) -> AffineMap | None:
    """Pad the result of a map with a constant, or crop it.

    Parameters
    ----------
    value
        Map whose result is padded.
    sides
        Rows and columns to add; negative numbers crop.
    fill
        Padding constant, one number or one per channel.

    Returns
    -------
    AffineMap | None
        None if `value` is strided or shuffled. The map is inexact if the added rows or columns depend on the image.
    """
    if sides == NO_SIDES:
        return value
    if not value.is_plain:
        return None
    # Outer zero taps would make the kernel appear larger than the padding and the map inexact without need.
    value = trimmed(value)
    padding = _summed(value.padding, sides)
    # With old >= extent - 1, the first output row already sees only padding, so further rows equal the bias.
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
    # The tolerance is relative, hence a zero fill requires a bias of exactly zero.
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
    """Compose a map with a zero-padded convolution of its result.

    Parameters
    ----------
    value
        Map whose result is convolved.
    weight
        Shape (out, in / groups, height, width).
    bias
        Shape (out,), or None.
    padding, stride, dilation, groups
        As in :func:`torch.nn.functional.conv2d`, but with the padding of each side.

    Returns
    -------
    AffineMap | None
        None if `value` is strided or shuffled and the convolution is not a 1x1 without padding, stride and groups.
    """
    weight = _dilated(weight.double(), dilation)
    if not value.is_plain:
        # A 1x1 convolution acts on each position separately, so it commutes with strides and pixel shuffles.
        pointwise = weight.shape[2:] == (1, 1) and padding == NO_SIDES and stride == (1, 1) and groups == 1
        return _mixed(value, weight[:, :, 0, 0], bias) if pointwise else None
    surrounded = padded(value, padding)
    if surrounded is None:
        return None
    # The remaining convolution is valid (unpadded): kernels are convolved and the padding does not change. A stride can
    # only be that of the last convolution, because `is_plain` holds.
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
    """Return the kernel of two successive convolutions.

    ``K[m] = sum over j of second[j] @ first[m - j]``, where ``@`` contracts the intermediate channels.
    """
    height, width = second.shape[2:]
    if groups > 1:
        # conv2d is a cross-correlation, hence the flip; input channels of `first` become the batch dimension.
        images = functional.conv2d(
            first.transpose(0, 1), second.flip(2, 3), padding=(height - 1, width - 1), groups=groups
        )
        return images.transpose(0, 1).contiguous()
    rows, columns = first.shape[2:]
    shape = (second.shape[0], first.shape[1], rows + height - 1, columns + width - 1)
    composed = first.new_zeros(shape)
    for i in range(height):  # one matrix product per tap, because conv2d in float64 is slow on tiny images
        for j in range(width):
            tap = second[:, :, i, j] @ first.flatten(1)
            composed[:, :, i : i + rows, j : j + columns] += tap.reshape(len(tap), -1, rows, columns)
    return composed


def _response(bias: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Return the output of a convolution for an image whose channels are constant and equal to `bias`."""
    sums = weight.sum((2, 3))
    # One batched product per group; the input channels of `weight` are those of its own group only.
    return (sums.reshape(groups, -1, sums.shape[1]) @ bias.reshape(groups, -1, 1)).flatten()


def _dilated(weight: Tensor, dilation: tuple[int, int]) -> Tensor:
    """Insert zeros between the taps, so that the kernel needs no dilation."""
    if dilation == (1, 1):
        return weight
    height, width = ((n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilation, strict=True))
    spread = weight.new_zeros(*weight.shape[:2], height, width)
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    return spread


def _mixed(value: AffineMap, matrix: Tensor, bias: Tensor | None) -> AffineMap:
    """Apply a 1x1 convolution, given as a matrix of shape (out, in), to the result."""
    # Pixel shuffle maps channel c * r**2 + k to sub-pixel k of channel c, so each sub-pixel is mixed by the same
    # matrix.
    matrix = torch.kron(matrix, torch.eye(value.shuffle**2, dtype=torch.float64))
    shift = torch.zeros(matrix.shape[0], dtype=torch.float64)
    if bias is not None:
        shift = bias.double().repeat_interleave(value.shuffle**2)
    kernel = torch.einsum("om,mihw->oihw", matrix, value.kernel)
    biased = value.biased or bias is not None
    return replace(value, kernel=kernel, bias=matrix @ value.bias + shift, biased=biased)


def scaled(value: AffineMap, factors: Tensor) -> AffineMap:
    """Multiply each output channel by a factor; `factors` has shape (channels,) or ()."""
    each = _per_channel(value, factors)
    return replace(value, kernel=value.kernel * each[:, None, None, None], bias=value.bias * each)


def shifted(value: AffineMap, offsets: Tensor) -> AffineMap:
    """Add an offset to each output channel; `offsets` has shape (channels,) or ()."""
    return replace(value, bias=value.bias + _per_channel(value, offsets), biased=True)


def _per_channel(value: AffineMap, numbers: Tensor) -> Tensor:
    return numbers.double().expand(value.channels).repeat_interleave(value.shuffle**2)


def added(first: AffineMap, second: AffineMap) -> AffineMap | None:
    """Return the sum of two maps of the same input; None if the shapes of their results differ."""
    if first.channels != second.channels:  # torch broadcasts a single channel
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
    """Concatenate the channels of maps of the same input; None if the sizes of their results differ."""
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
    """Select output channels by index; indices may repeat."""
    area = value.shuffle**2  # each channel after the pixel shuffle has r**2 consecutive channels before it
    rows = (channels[:, None] * area + torch.arange(area)).flatten()
    return replace(value, kernel=value.kernel[rows], bias=value.bias[rows])


def upsampled(value: AffineMap, factor: int) -> AffineMap | None:
    """Upsample the result by nearest neighbour, expressed as the pixel shuffle of ``factor**2`` equal channels."""
    if not value.is_plain:
        return None
    # Pixel shuffle distributes r**2 consecutive channels to the sub-pixels; equal channels give equal sub-pixels.
    kernel = value.kernel.repeat_interleave(factor**2, 0)
    return replace(value, kernel=kernel, bias=value.bias.repeat_interleave(factor**2), shuffle=factor)


def shuffled(value: AffineMap, factor: int) -> AffineMap | None:
    """Apply a pixel shuffle; None if the map already has one."""
    return replace(value, shuffle=factor) if value.shuffle == 1 else None


def aligned(values: Sequence[AffineMap]) -> list[AffineMap] | None:
    """Extend all maps with zero taps to the same kernel size and padding.

    Returns None if the strides, the shuffle factors or the sizes of the results differ.
    """
    first = values[0]
    # Maps at different resolutions cannot be added tap by tap.
    if any(value.stride != first.stride or value.shuffle != first.shuffle for value in values):
        return None
    top, left = (max(value.padding[side] for value in values) for side in (0, 2))
    # Tap m reads row i - top + m. Aligning the offsets -top..height-1-top aligns the taps of all kernels.
    bottom = max(value.size[0] - value.padding[0] for value in values)
    right = max(value.size[1] - value.padding[2] for value in values)
    grown = []
    for value in values:
        above, before = top - value.padding[0], left - value.padding[2]
        below, after = bottom - value.size[0] + value.padding[0], right - value.size[1] + value.padding[2]
        grown.append(enlarged(value, (above, below, before, after)))
    # Kernels now have equal sizes, so the results have equal sizes if and only if the paddings agree.
    return grown if all(value.padding == grown[0].padding for value in grown) else None


def enlarged(value: AffineMap, sides: Sides) -> AffineMap:
    """Add zero taps around the kernel and extend the padding so that the result does not change."""
    top, bottom, left, right = sides
    padding = _summed(value.padding, sides)
    return replace(value, kernel=functional.pad(value.kernel, (left, right, top, bottom)), padding=padding)


def trimmed(value: AffineMap) -> AffineMap:
    """Remove outer rows and columns of zero taps together with the padding that they required."""
    used = (value.kernel != 0).any(0).any(0)
    if not used.any():  # a constant map: every tap could be removed, but a kernel needs at least one
        return value
    rows, columns = used.any(1).nonzero().flatten(), used.any(0).nonzero().flatten()
    height, width = value.size
    top, bottom = int(rows[0]), height - 1 - int(rows[-1])
    left, right = int(columns[0]), width - 1 - int(columns[-1])
    return enlarged(value, (-top, -bottom, -left, -right))


def symmetric(value: AffineMap) -> AffineMap:
    """Extend the kernel until the padding is valid for ``Conv2d``: equal on opposite sides and not negative."""
    value = trimmed(value)
    top, bottom, left, right = value.padding
    # Each added row of zero taps is compensated by one more row of padding, so the side with less padding is extended.
    vertical, horizontal = max(top, bottom, 0), max(left, right, 0)
    return enlarged(value, (vertical - top, vertical - bottom, horizontal - left, horizontal - right))


def apply(value: AffineMap, image: Tensor) -> Tensor:
    """Apply the map to an image of shape (N, in, H, W), in the dtype of the image."""
    top, bottom, left, right = value.padding
    # functional.pad crops if a side is negative, and takes the sides of the last dimension first.
    surrounded = functional.pad(image, (left, right, top, bottom))
    result = functional.conv2d(surrounded, value.kernel.to(image), value.bias.to(image), stride=value.stride)
    return functional.pixel_shuffle(result, value.shuffle) if value.shuffle > 1 else result


def inexact(value: AffineMap) -> AffineMap:
    """Return the map marked as not exact at the border."""
    return replace(value, exact=False)
