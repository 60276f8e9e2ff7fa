"""PSNR of a network on whole images, by the challenge's degradation and rounding."""

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
    """A validation or test image: LR and HR, uint8, H x W x 3."""

    name: str
    lr: Array
    hr: Array


def load_images(folder: Path, scale: int) -> list[TestImage]:
    """Read HR images, crop them to multiples of the scale and degrade them as the challenge does."""
    images = []
    for path in list_images(folder):
        hr = centre_crop(read_rgb(path), scale)
        images.append(TestImage(path.stem, degrade(hr, scale, get_degradation("ntire23")), hr))
    return images


def to_tensor(image: Array) -> Tensor:
    """Return 1 x 3 x H x W in [0, 1], channels last in memory."""
    return torch.from_numpy(np.array(image))[None].permute(0, 3, 1, 2).float() / 255.0


def to_image(output: Tensor) -> Array:
    """Round and clamp 1 x 3 x H x W in [0, 1] to uint8."""
    image: Array = output[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return image


def psnr_per_image(upscale: Callable[[Tensor], Tensor], images: Sequence[TestImage]) -> dict[str, float]:
    """Return the RGB PSNR in dB of each image over all of its pixels."""
    with torch.no_grad():
        return {image.name: psnr(to_image(upscale(to_tensor(image.lr))), image.hr) for image in images}


def mean_psnr(upscale: Callable[[Tensor], Tensor], images: Sequence[TestImage]) -> float:
    """Return the mean over images of the RGB PSNR in dB."""
    return float(np.mean(list(psnr_per_image(upscale, images).values())))
