"""PSNR of a network on one photograph, for the value ranges that its input may have."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from harness.complexity.input_size import rounded_up
from harness.results.record import Colour
from harness.worker.presenting import to_rgb, to_ycbcr

VALUE_RANGES = (1.0, 255.0)
WRONG_RANGE_DB = 1.0
"""dB by which another value range must be better to be the right one; a wrong one typically costs 4 dB or more."""
WRONG_COLOUR_DB = 0.5
"""dB by which another colour space must be better than RGB to be the right one."""
FAR_BELOW_DB = 3.0
"""dB below bicubic interpolation from which a network is taken for one that is used in a wrong way."""

_SIDE = 96
# Found before submitted code is imported, which may bring a package of the same name along.
_SKIMAGE = importlib.util.find_spec("skimage")


@functools.cache
def photograph(scale: int) -> tuple[Tensor, Tensor]:
    """Return a photograph at low and high resolution, 1x3xHxW in [0, 1].

    A natural image is used, because the output of trained networks for noise says nothing about their accuracy.
    """
    side = _SIDE * scale
    image = torch.from_numpy(np.ascontiguousarray(_astronaut()[:, 60:])).permute(2, 0, 1)[None] / 255
    hr = image[..., :side, :side]
    if hr.shape[2] < side or hr.shape[3] < side:
        # For scales of 5 and more the photograph is smaller than the crop, so it is enlarged.
        hr = functional.interpolate(image, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
    lr = functional.interpolate(hr, size=(_SIDE, _SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    # 8-bit levels, as in the frames that are scored.
    return lr.mul(255).round().div(255), hr


def _astronaut() -> NDArray[np.uint8]:
    """Return a photograph that comes with scikit-image, 512 x 512 x 3."""
    # Opened as a file: scikit-image's function imports scipy, half a second in every worker, after submitted code was
    # imported, which may have changed what scipy needs.
    if _SKIMAGE is None or _SKIMAGE.origin is None:
        raise ModuleNotFoundError("scikit-image is not installed", name="skimage")
    with Image.open(Path(_SKIMAGE.origin).parent / "data" / "astronaut.png") as image:
        return np.asarray(image.convert("RGB"))


def padded(image: Tensor, multiple: int) -> Tensor:
    """Return an image (1x3xHxW) with sides rounded up to `multiple`, at the bottom and right, by repeating its edge."""
    height, width = image.shape[2:]
    bottom, right = rounded_up(height, multiple) - height, rounded_up(width, multiple) - width
    return functional.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image


def bicubic_psnr(scale: int) -> float:
    """Return the PSNR of bicubic interpolation on the photograph, dB."""
    lr, hr = photograph(scale)
    return _psnr(functional.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False), hr)


def psnr_in_range(
    network: nn.Module, scale: int, value_range: float, multiple: int = 1, colour: Colour = "rgb"
) -> float:
    """Return the PSNR of a network on the photograph if its white is `value_range`, dB; 0 if the network raises.

    Parameters
    ----------
    network
        Network in eval mode, float32.
    scale
        Upscaling factor.
    value_range
        Value of white in input and output.
    multiple
        The input is padded to a multiple of this.
    colour
        Colour space of input and output: ``rgb``, ``bgr`` or ``ycbcr``.
    """
    lr, hr = photograph(scale)
    given = _in_colour(padded(lr, multiple), colour) * value_range
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            output = network(given.to(device)).cpu()[..., : hr.shape[2], : hr.shape[3]] / value_range
        return _psnr(_from_colour(output, colour), hr)
    except (Exception, SystemExit):  # noqa: BLE001 -- an error in an undeclared range is no evidence for another
        return 0.0


def better_range(network: nn.Module, scale: int, assumed: float, multiple: int = 1) -> float | None:
    """Return the value range other than `assumed` if the network is clearly made for it, else None."""
    (other,) = (value for value in VALUE_RANGES if value != assumed)
    own = psnr_in_range(network, scale, assumed, multiple)
    reached = psnr_in_range(network, scale, other, multiple)
    plausible = reached > bicubic_psnr(scale) - FAR_BELOW_DB
    return other if plausible and reached > own + WRONG_RANGE_DB else None


def better_colour(network: nn.Module, scale: int, value_range: float, multiple: int = 1) -> tuple[Colour, float] | None:
    """Return the colour space other than RGB that the network is clearly made for, with its PSNR, dB, else None."""
    own = psnr_in_range(network, scale, value_range, multiple)
    others: tuple[Colour, ...] = ("bgr", "ycbcr")
    reached = {colour: psnr_in_range(network, scale, value_range, multiple, colour) for colour in others}
    best = max(others, key=lambda colour: reached[colour])
    is_made_for_it = reached[best] > own + WRONG_COLOUR_DB and reached[best] > bicubic_psnr(scale) - FAR_BELOW_DB
    return (best, reached[best]) if is_made_for_it else None


def _in_colour(image: Tensor, colour: Colour) -> Tensor:
    if colour == "bgr":
        return image.flip(1)
    return to_ycbcr(image, 1.0) if colour == "ycbcr" else image


def _from_colour(image: Tensor, colour: Colour) -> Tensor:
    if colour == "bgr":
        return image.flip(1)
    return to_rgb(image, 1.0) if colour == "ycbcr" else image


def _psnr(output: Tensor, hr: Tensor) -> float:
    # NaN counts as black: a PSNR of NaN would make every comparison false.
    error = float((output.double().clamp(0, 1).nan_to_num() - hr.double()).square().mean())
    return 99.0 if error == 0 else -10 * float(np.log10(error))
