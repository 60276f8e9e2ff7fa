"""Convert uint8 frames to network inputs and network outputs to uint8 frames. Neither conversion is timed."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import ContractError

Image = NDArray[np.uint8]

# Bound before submitted code could replace it. The function of `torch.nn.functional` looks up others at each call.
_pad = torch._C._nn.pad

_CACHED_PIXELS = 1 << 17  # that are converted at once


def to_input(image: Image, value_range: float, multiple: int) -> Tensor:
    """Convert a frame to the network's input.

    Parameters
    ----------
    image
        Frame, H x W x 3, uint8, RGB.
    value_range
        Value of white, 1.0 or 255.0.
    multiple
        Height and width are padded to a multiple of this, at the bottom and right, by replicating the edge.

    Returns
    -------
    Tensor
        1 x 3 x H' x W', float32, on the CPU, in [0, value_range].
    """
    return scale_levels(to_levels(image), value_range, multiple)


def to_levels(image: Image) -> Tensor:
    """Convert a frame (H x W x 3, uint8) to a tensor of levels, 1 x 3 x H x W, uint8, on the CPU."""
    # A copy: `image` may be a view of the shared memory, which the next message overwrites.
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def scale_levels(levels: Tensor, value_range: float, multiple: int) -> Tensor:
    """Convert levels (1 x 3 x H x W, uint8) to the network's input on their device; see :func:`to_input`."""
    height, width = levels.shape[-2:]
    # An explicit dtype, because submitted code may have changed torch's default.
    scaled = torch.empty(1, 3, height, width, dtype=torch.float32, device=levels.device)
    scaled.copy_(levels)  # converts the dtype and the memory layout in one pass
    # Division instead of multiplication by 1/255, which rounds differently for a third of the 256 levels. The divisor
    # is a tensor, because accelerators implement division by a Python number as multiplication by its reciprocal.
    scaled.div_(torch.tensor(255 / value_range, device=levels.device))
    bottom, right = -height % multiple, -width % multiple
    return _pad(scaled, (0, right, 0, bottom), "replicate") if bottom or right else scaled


def check_output(output: object, given: Tensor, scale: int) -> Tensor:
    """Check that the output of a forward pass is an upscaled frame with finite values, and return it.

    Parameters and errors are those of :func:`check_form`. In addition, all values are read and must be finite.
    """
    formed = check_form(output, given, scale)
    _check_finite(formed)
    return formed


def check_form(output: object, given: Tensor, scale: int) -> Tensor:
    """Check type, shape, dtype and device of the output of a forward pass, and return it. Values are not read.

    Parameters
    ----------
    output
        Return value of the network.
    given
        Its input, 1 x 3 x H x W.
    scale
        Upscaling factor.

    Returns
    -------
    Tensor
        `output`, which is 1 x 3 x (scale * H) x (scale * W) and of a floating-point dtype.

    Raises
    ------
    ContractError
        The output is not of this form.
    """
    if not isinstance(output, Tensor):
        raise ContractError(
            f"the network returns {_article(type(output).__name__)}, not a tensor",
            hint="return the upscaled image alone",
        )
    expected = (1, 3, scale * given.shape[-2], scale * given.shape[-1])
    if tuple(output.shape) != expected:
        raise ContractError(
            f"the output has shape {_by(output.shape)} for an input of {_by(given.shape)}",
            hint=f"an upscaler by {scale} returns {_by(expected)}",
        )
    if not output.dtype.is_floating_point:  # not output.is_floating_point(), which a subclass could override
        raise ContractError(
            f"the output is of type {str(output.dtype).removeprefix('torch.')}",
            hint="return floating-point values and leave rounding to the harness",
        )
    if output.device.type != given.device.type:
        raise ContractError(
            f"the output is on {output.device} but the input was on {given.device}",
            hint="keep the computation on the input's device",
        )
    return output


def to_image(output: Tensor, value_range: float, height: int, width: int, place: Image | None = None) -> Image:
    """Convert the network's output to a frame: crop, scale to [0, 255], round and clamp.

    Parameters
    ----------
    output
        Output of the network, 1 x 3 x H x W, floating point, on any device, nominally in [0, value_range].
    value_range
        Value of white, 1.0 or 255.0.
    height, width
        Size of the frame, without the part that belongs to the padding of the input.
    place
        Array to write the frame to, H x W x 3, uint8; a new one by default.

    Returns
    -------
    numpy.ndarray
        H x W x 3, uint8, C-contiguous.
    """
    cropped = output[0, :, :height, :width].detach().permute(1, 2, 0)
    image: Image = np.empty((height, width, 3), np.uint8) if place is None else place
    target = torch.from_numpy(image)
    on_cpu = output.device.type == "cpu"
    # On the CPU in parts that fit into its cache.
    rows = max(1, _CACHED_PIXELS // max(1, width)) if on_cpu else max(1, height)
    for top in range(0, height, rows):
        levels = (cropped[top : top + rows].to(torch.float32) * (255 / value_range)).round_().clamp_(0, 255)
        # Converted to uint8 on an accelerator, so that a quarter of the bytes is transferred.
        target[top : top + rows] = levels if on_cpu else levels.to(torch.uint8).contiguous()
    return image


def _check_finite(output: Tensor) -> None:
    # One NaN or infinity makes the sum non-finite, and summing is much faster than testing every element. The elements
    # are tested only if the sum is not finite, because the sum of large finite values may overflow.
    if math.isfinite(float(Tensor.detach(output).sum(dtype=torch.float32))):
        return
    bad = int((~torch.isfinite(output)).sum())
    if bad:
        raise ContractError(
            f"the output has {bad} values that are NaN or infinite",
            hint="look for a division by zero or an overflow of the precision",
        )


def _by(shape: torch.Size | tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape) or "a scalar"


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
