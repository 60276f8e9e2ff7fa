"""PSNR and SSIM of a network in a training loop, without a process and without files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.live_networks import checked_count, checked_range, in_eval_mode, place_of
from harness.data import Dataset, get_degradation, open_dataset, registered
from harness.data.datasets import Array
from harness.data.registry import DATASETS
from harness.errors import DataError, UsageError
from harness.quality.convention import get_convention
from harness.quality.evaluate import Quality, average, evaluate_pair
from harness.tracks import track_for_scale

Pairs = Iterable[tuple[Array, Array]]
_BATCH_PIXELS = 2**20
"""Pixels of LR images in a batch, unless a batch size is given."""


def evaluate(
    module: nn.Module,
    dataset: str | Path | Pairs | Dataset,
    scale: int,
    *,
    convention: str = "harness",
    value_range: float = 1.0,
    size_multiple: int = 1,
    batch_size: int | None = None,
) -> Quality:
    """Return mean PSNR and SSIM of a network on a data set.

    The network runs in this process, on the device and in the dtype of its parameters, in evaluation mode and without
    gradients; afterwards its modules are in the modes that they were in. Its outputs are rounded to 8 bits and compared
    as ``harness run`` and ``harness quality`` compare images.

    Parameters
    ----------
    module
        Maps N x 3 x H x W to N x 3 x (scale * H) x (scale * W).
    dataset
        Name of a data set, such as ``embedded``; a folder of HR images, or of HR and LR images; or pairs of LR and HR
        images, H x W x 3, uint8, such as a :class:`harness.data.Dataset`. LR images are made from HR as the real-time
        track of this scale makes them, unless they are given.
    scale
        Upscaling factor.
    convention
        Name of a convention, see :func:`harness.psnr`.
    value_range
        Value of white in the network's input and output, 1 or 255.
    size_multiple
        Inputs are padded to multiples of this, at the bottom and right, by replicating the edge.
    batch_size
        Number of images of equal size that are upscaled at once. By default as many as have a million LR pixels.

    Raises
    ------
    DataError
        There are no images, an image cannot be read, is not of the form above, or the output of the network is not an
        upscaled image.
    UsageError
        There is no such data set or convention, or a number is not one of those above.
    """
    rules = get_convention(convention)
    upscaler = _Upscaler(
        module, checked_count(scale, "scale"), checked_range(value_range), checked_count(size_multiple, "size multiple")
    )
    most = None if batch_size is None else checked_count(batch_size, "batch size")
    qualities = []
    with in_eval_mode(module):
        for batch in _batches(_pairs(dataset, scale), most):
            # Outputs stay on the network's device until they are compared.
            outputs = upscaler.upscale([lr for lr, _ in batch])
            qualities += [evaluate_pair(sr, hr, rules, scale=scale) for sr, (_, hr) in zip(outputs, batch, strict=True)]
    if not qualities:
        raise DataError("the data set has no images", hint="pass pairs of LR and HR images")
    return average(qualities, rules)


class _Upscaler:
    """Runs a network on batches of uint8 images."""

    def __init__(self, module: nn.Module, scale: int, value_range: float, multiple: int) -> None:
        self._module = module
        self._scale = scale
        self._value_range = value_range
        self._multiple = multiple
        self._device, self._dtype = place_of(module)

    def upscale(self, images: list[Array]) -> list[Tensor]:
        """Return the outputs for images of equal size, each 3 x H x W, uint8, on the network's device."""
        height, width = images[0].shape[:2]
        levels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        # The divisor is a tensor, because accelerators implement division by a number as multiplication by its inverse.
        divisor = torch.tensor(255.0 / self._value_range, device=self._device)
        given = levels.to(self._device).to(torch.float32, memory_format=torch.contiguous_format).div_(divisor)
        # What is missing to the next multiple: -h % m is in 0 to m - 1.
        bottom, right = -height % self._multiple, -width % self._multiple
        padded = functional.pad(given, (0, right, 0, bottom), mode="replicate") if bottom or right else given
        output = self._checked(self._module(padded.to(self._dtype)), padded)
        # The padding is cut off again.
        cut = output[..., : self._scale * height, : self._scale * width].float()
        # The sum is finite if all values are, and much faster than a look at each; no sum of real outputs overflows.
        if not math.isfinite(float(cut.sum())):
            raise DataError("the network's output has values that are not finite", hint="look for an overflow")
        return list((cut * (255.0 / self._value_range)).round_().clamp_(0, 255).to(torch.uint8))

    def _checked(self, output: object, given: Tensor) -> Tensor:
        count, _, height, width = given.shape
        wanted = (count, 3, self._scale * height, self._scale * width)
        if not isinstance(output, Tensor) or tuple(output.shape) != wanted:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise DataError(
                f"the network returns {found} for an input of {tuple(given.shape)}", hint=f"return {wanted}"
            )
        if not output.is_floating_point():
            raise DataError(f"the network returns {output.dtype}", hint="return floating point, which is rounded here")
        return output


def _pairs(dataset: str | Path | Pairs | Dataset, scale: int) -> Iterator[tuple[Array, Array]]:
    if isinstance(dataset, str | Path):
        # The state of its files is part of the key of the cache, so that a folder that changed is read again.
        dataset = _opened(str(dataset), scale, _state_of(_folder_of(dataset)))
    if not isinstance(dataset, Dataset):
        yield from dataset
        return
    if dataset.scale != scale:
        raise UsageError(f"data set {dataset.name} is for scale {dataset.scale}, not {scale}")
    for index in range(len(dataset)):
        yield dataset.pair(index)


def _folder_of(dataset: str | Path) -> Path:
    """Return the folder of a data set that may change; those of the harness and of packages do not."""
    folder = Path(dataset)
    if str(dataset) in DATASETS.names() or folder.is_dir():
        return folder
    return registered().get(str(dataset), folder)


def _state_of(place: Path) -> int:
    """Return a number that changes with the names, sizes and times of all files of a folder."""
    files = [path for path in (place, *place.rglob("*")) if path.is_file()]
    return hash(tuple(sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)))


@lru_cache(maxsize=4)
def _opened(name: str, scale: int, state: int) -> Dataset:  # noqa: ARG001 - the key of a folder that changed
    """Open a data set once: it keeps its decoded images, which a training loop asks for again and again."""
    return open_dataset(name, scale, get_degradation(track_for_scale(scale).degradation))


def _check_lr(lr: Array) -> None:
    """Raise DataError for what is no image: floating point in [0, 1] would be taken for levels, and be almost black."""
    # Of pairs that the caller made, which may be anything.
    shape: tuple[int, ...] = tuple(getattr(lr, "shape", ()))
    dtype = getattr(lr, "dtype", type(lr).__name__)
    if len(shape) != 3 or shape[2] != 3 or dtype not in (np.uint8, torch.uint8):
        raise DataError(f"an LR image has shape {shape} and dtype {dtype}", hint="pass H x W x 3 arrays of uint8")


def _batches(pairs: Iterable[tuple[Array, Array]], size: int | None) -> Iterator[list[tuple[Array, Array]]]:
    """Yield consecutive pairs of equal size together."""
    batch: list[tuple[Array, Array]] = []
    for lr, hr in pairs:
        _check_lr(lr)
        most = size or max(1, _BATCH_PIXELS // (lr.shape[0] * lr.shape[1]))
        if batch and (batch[0][0].shape != lr.shape or len(batch) >= most):
            yield batch
            batch = []
        batch.append((lr, hr))
    if batch:
        yield batch
