"""From uint8 frames to what a network eats, and from what it gives back to uint8 frames.

Runs in the worker. Both directions are outside the timed window.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from harness.errors import ContractError

Image = NDArray[np.uint8]


def to_input(image: Image, value_range: float, multiple: int) -> Tensor:
    """Return the frame as the network's input.

    Parameters
    ----------
    image
        H x W x 3, uint8, RGB.
    value_range
        1.0 or 255.0: what white becomes.
    multiple
        Height and width are padded to a multiple of this, at the bottom and the right, by repeating the edge.

    Returns
    -------
    Tensor
        1 x 3 x H' x W', float32, on the CPU, in [0, value_range].
    """
    return scale_levels(to_levels(image), value_range, multiple)


def to_levels(image: Image) -> Tensor:
    """Return the frame (H x W x 3, uint8) as levels, 1 x 3 x H x W, uint8, on the CPU."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def scale_levels(levels: Tensor, value_range: float, multiple: int) -> Tensor:
    """Return levels (1 x 3 x H x W, uint8) as the network's input on their device; see :func:`to_input`."""
    height, width = levels.shape[-2:]
    scaled = torch.empty(1, 3, height, width, dtype=torch.float32, device=levels.device)  # whatever the default is now
    scaled.copy_(levels)  # converts and reorders in one pass
    # A division, because a product with 1/255 is another float32 number for a third of the grey levels; by a tensor,
    # because an accelerator multiplies by the reciprocal of a plain number.
    scaled.div_(torch.tensor(255 / value_range, device=levels.device))
    bottom, right = -height % multiple, -width % multiple
    return pad(scaled, (0, right, 0, bottom), mode="replicate") if bottom or right else scaled


def check_output(output: object, given: Tensor, scale: int) -> Tensor:
    """Return the output of a forward pass if it is an upscaled frame with finite values.

    Parameters and errors are those of :func:`check_form`; here every value is read.
    """
    formed = check_form(output, given, scale)
    _check_finite(formed)
    return formed


def check_form(output: object, given: Tensor, scale: int) -> Tensor:
    """Return the output of a forward pass if it has the form of an upscaled frame; its values are not read.

    Parameters
    ----------
    output
        What the network returned.
    given
        The input, 1 x 3 x H x W.
    scale
        The output must be 1 x 3 x (scale * H) x (scale * W) and of a floating type.

    Raises
    ------
    ContractError
        It is not.
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
    if not output.dtype.is_floating_point:  # not a method, which an output may bring along
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
    """Return the network's output as a frame: cropped, divided by the value range, clamped, rounded.

    Parameters
    ----------
    output
        1 x 3 x H x W, floating point, any device, in [0, value_range] and a little beyond.
    value_range
        1.0 or 255.0.
    height, width
        Size without the padding that was added to the input.
    place
        Where to write the frame, H x W x 3, uint8; by default in new memory.

    Returns
    -------
    numpy.ndarray
        H x W x 3, uint8, C-contiguous.
    """
    cropped = output[0, :, :height, :width].detach().to(torch.float32)
    levels = (cropped * (255 / value_range)).round_().clamp_(0, 255).to(torch.uint8)
    image: Image = np.empty((*levels.shape[1:], 3), np.uint8) if place is None else place
    np.copyto(image, levels.permute(1, 2, 0).cpu().numpy())
    return image


def _check_finite(output: Tensor) -> None:
    # The sum of finite values of an image is finite; only where it is not are the elements worth looking at.
    if math.isfinite(float(output.detach().sum(dtype=torch.float32))):
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
