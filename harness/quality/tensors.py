"""Torch tensors as images."""

from __future__ import annotations

import torch

from harness.errors import DataError


def to_bytes(image: torch.Tensor) -> torch.Tensor:
    """Return an image tensor as H x W x 3 uint8, contiguous, on its device.

    Parameters
    ----------
    image
        uint8, H x W x 3 or (1 x) 3 x H x W; or floating point in [0, 1], (1 x) 3 x H x W.

    Raises
    ------
    DataError
        The shape is another, or a value is not finite.
    """
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 2:
        image = image.expand(3, *image.shape)
    if image.ndim != 3 or 3 not in (image.shape[0], image.shape[2]):
        raise DataError(f"a tensor of shape {tuple(image.shape)} is not one RGB image", mend="pass 3 x H x W")
    if image.is_floating_point():
        image = quantise(image)
    channels_last = image.shape[2] == 3 and image.shape[0] != 3
    return (image if channels_last else image.permute(1, 2, 0)).contiguous()


def quantise(image: torch.Tensor) -> torch.Tensor:
    """Return a floating-point image in [0, 1] as uint8: clamped, times 255, rounded half to even.

    Raises
    ------
    DataError
        A value is NaN or infinite.
    """
    if not bool(torch.isfinite(image).all()):
        raise DataError("the image has values that are not finite")
    return (image.detach().float().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
