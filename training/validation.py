"""Compute the PSNR of a network on whole images with the degradation of the challenge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harness.data.crop import centre_crop
from harness.data.degradation import degrade, get_degradation
from harness.data.images import list_images, read_rgb
from harness.quality import psnr

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TestImage:
    """Validation or test image: LR and HR arrays of shape (H, W, 3), uint8."""

    name: str
    lr: Array
    hr: Array


def load_images(folder: Path, scale: int) -> list[TestImage]:
    """Read HR images, crop them to multiples of the scale and degrade them as in the challenge."""
    images = []
    for path in list_images(folder):
        hr = centre_crop(read_rgb(path), scale)
        images.append(TestImage(path.stem, degrade(hr, scale, get_degradation("ntire23")), hr))
    return images


def to_tensor(image: Array) -> Tensor:
    """Convert a uint8 image to a tensor of shape (1, 3, H, W) in [0, 1], in channels-last memory format."""
    return torch.from_numpy(np.array(image))[None].permute(0, 3, 1, 2).float() / 255.0


def to_image(output: Tensor) -> Array:
    """Clamp a tensor of shape (1, 3, H, W) to [0, 1] and round it to a uint8 image of shape (H, W, 3)."""
    image: Array = output[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return image


def psnr_per_image(upscale: Callable[[Tensor], Tensor], images: Sequence[TestImage]) -> dict[str, float]:
    """Return the RGB PSNR in dB of each image over all pixels, by name."""
    with torch.no_grad():
        return {image.name: psnr(to_image(upscale(to_tensor(image.lr))), image.hr) for image in images}


def mean_psnr(upscale: Callable[[Tensor], Tensor], images: Sequence[TestImage]) -> float:
    """Return the RGB PSNR in dB, averaged over images."""
    return float(np.mean(list(psnr_per_image(upscale, images).values())))
