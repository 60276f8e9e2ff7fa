"""PSNR and SSIM of images and batches, as arrays or tensors, by a named convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError
from harness.quality.convention import Convention, get_convention
from harness.quality.pair import Pair, make_pair
from harness.quality.reference import psnr_of

if TYPE_CHECKING:
    import torch

    from harness.quality.pair import Image

    Images = NDArray[np.uint8] | NDArray[np.floating] | torch.Tensor

Colour = Literal["rgb", "y"]
Figure = Callable[[Pair, Convention, Colour], float]


def psnr(
    sr: Images, hr: Images, *, convention: str = "harness", colour: Colour = "rgb", scale: int | None = None
) -> float | NDArray[np.float64]:
    """Return the PSNR of an image, or of each image of a batch, in dB.

    Parameters
    ----------
    sr, hr
        Upscaled images and ground truth: NumPy arrays or torch tensors on any device, of the same shape. One image is
        (H, W), (H, W, 3) or (3, H, W); a batch is (B, C, H, W) or (B, H, W, C) with 1 or 3 channels. uint8, or floating
        point in [0, 1], which is clamped and rounded to 8 bits.
    convention
        ``harness``, ``ntire23``, ``lrsrn``, ``matlab``, ``matlab-uint8``, ``ntire-esr`` or ``basicsr``; it determines
        luma and the border that is cropped.
    colour
        ``rgb`` for the mean squared error over the channels, ``y`` for that of luma.
    scale
        Upscaling factor, required by conventions that crop a border of this width.

    Returns
    -------
    float or numpy.ndarray
        A number for one image, an array of shape (B,), float64, for a batch; ``inf`` for identical images.

    Raises
    ------
    DataError
        The images differ in shape, or are not images.
    UsageError
        There is no such convention or colour, or the convention requires a scale.
    """
    return _measured(psnr_of_pair, sr, hr, convention, colour, scale)


def ssim(
    sr: Images, hr: Images, *, convention: str = "harness", colour: Colour = "rgb", scale: int | None = None
) -> float | NDArray[np.float64]:
    """Return the SSIM of an image, or of each image of a batch; see :func:`psnr` for parameters and result.

    The convention also determines SSIM's window. Images that are smaller than it raise DataError.
    """
    return _measured(ssim_of_pair, sr, hr, convention, colour, scale)


def each(images: Images, role: str = "the images") -> tuple[list[Images], bool]:
    """Return the images of a batch, each (H, W, 3), (3, H, W) or (H, W), and whether it is a batch or one image.

    Raises
    ------
    DataError
        The shape is not that of images.
    """
    shape = tuple(images.shape)
    if images.ndim not in (2, 3, 4) or 0 in shape:
        raise DataError(f"{role} have shape {shape}", hint="pass H x W x 3, 3 x H x W or B x C x H x W")
    if images.ndim < 4:
        return [_first_or_last(images, role)], False
    return [_first_or_last(cast("Images", image), role) for image in images], True


def _first_or_last(image: Images, role: str) -> Images:
    """Return an image with three channels first or last, or without channels."""
    if image.ndim == 2:
        return image
    first, last = image.shape[0], image.shape[-1]
    # RGB comes before grey: an image of 3 x H x 1 has three channels.
    if 3 in (first, last):
        return image
    if 1 not in (first, last):
        raise DataError(f"{role} have shape {tuple(image.shape)}, without 1 or 3 channels", hint="pass RGB images")
    return image[0] if first == 1 else image[..., 0]


def as_image(image: Images) -> Image:
    """Return an image in a form that :func:`harness.quality.pair.make_pair` takes."""
    if not isinstance(image, np.ndarray):
        return image
    # 3 x H x 3 is ambiguous: arrays are taken as channels last, tensors as channels first.
    channels_first = image.ndim == 3 and image.shape[0] == 3 and image.shape[-1] != 3
    array = np.moveaxis(image, 0, -1) if channels_first else image
    if array.dtype == np.uint8:
        return cast("Image", array)
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"the image has dtype {array.dtype}", hint="pass uint8, or floating point in [0, 1]")
    import torch

    from harness.quality.tensors import quantise

    # A copy: torch warns of arrays that are read-only, and refuses other orders of bytes.
    return quantise(torch.from_numpy(array.astype(np.float32))).numpy()


def measured_each(
    figure: Figure, sr: Images, hr: Images, rules: Convention, colour: Colour, border: int
) -> list[float]:
    """Return a figure of each image of two batches."""
    if tuple(sr.shape) != tuple(hr.shape):
        raise DataError(f"SR has shape {tuple(sr.shape)}, HR {tuple(hr.shape)}", hint="compare images of equal shape")
    pairs = zip(each(sr, "SR")[0], each(hr, "HR")[0], strict=True)
    return [figure(make_pair(as_image(one), as_image(other), border), rules, colour) for one, other in pairs]


def check_colour(colour: str) -> None:
    """Raise UsageError if there is no such colour."""
    if colour not in ("rgb", "y"):
        raise UsageError(f"there is no colour {colour!r}", hint="choose rgb or y")


def _measured(
    figure: Figure, sr: Images, hr: Images, convention: str, colour: Colour, scale: int | None
) -> float | NDArray[np.float64]:
    check_colour(colour)
    rules = get_convention(convention)
    values = measured_each(figure, sr, hr, rules, colour, rules.border_at(scale))
    return np.array(values, dtype=np.float64) if sr.ndim == 4 else values[0]


def psnr_of_pair(pair: Pair, rules: Convention, colour: Colour) -> float:
    """Return the PSNR of a pair of images, dB."""
    return psnr_of(pair.mse_rgb() if colour == "rgb" else pair.mse_luma(rules.luma))


def ssim_of_pair(pair: Pair, rules: Convention, colour: Colour) -> float:
    """Return the SSIM of a pair of images."""
    return pair.ssim_rgb(rules.window) if colour == "rgb" else pair.ssim_luma(rules.window, rules.luma)
