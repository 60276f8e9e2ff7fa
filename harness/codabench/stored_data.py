"""Read the data sets of a track, and encode their images for a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from harness.codabench.settings import StoredDataset
from harness.data import Dataset
from harness.data.images import write_png
from harness.quality import evaluate_pair, upscale_bicubic
from harness.run.bicubic_reference import choose_reference
from harness.run.datasets import LabelledDataset, open_datasets
from harness.run.quality_pass import PSNR_CAP
from harness.tracks import Track


@dataclass(frozen=True, slots=True)
class StoredData:
    """The data sets of a bundle.

    Attributes
    ----------
    datasets
        Their descriptions, with the PSNR of bicubic on each image.
    lr, hr
        PNG files by their path in a folder of data.
    bicubic_psnr
        What the score subtracts, dB.
    bicubic_source
        Whether that was measured here or is the challenge's constant.
    """

    datasets: list[StoredDataset]
    lr: dict[str, Path]
    hr: dict[str, Path]
    bicubic_psnr: float
    bicubic_source: Literal["measured", "published"]


def store_datasets(names: Sequence[str], track: Track, work: Path) -> StoredData:
    """Open data sets as a run does, write their pairs of images as PNG below `work`, and measure bicubic on them.

    Raises
    ------
    UsageError, DataError
        See :func:`harness.run.datasets.open_datasets`.
    """
    opened = open_datasets(names, track)
    datasets: list[StoredDataset] = []
    lr: dict[str, Path] = {}
    hr: dict[str, Path] = {}
    for one in opened:
        folder = one.label or "data"
        bicubic = {}
        for index, name in enumerate(one.dataset.names):
            small, large = one.dataset.pair(index)
            for files, place, pixels in ((lr, f"LR_x{track.scale}", small), (hr, "HR", large)):
                path = f"{folder}/{place}/{name}.png"
                # As PNG, whatever the format of the source: both programs must see the same pixels.
                write_png(work / path, pixels)
                files[path] = work / path
            bicubic[name] = bicubic_psnr(one.dataset, index, track)
        datasets.append(_described(one, folder, bicubic))
    means = {one.label: fmean(one.bicubic.values()) for one in datasets}
    reference = choose_reference(track, [one.dataset for one in opened], means)
    return StoredData(datasets, lr, hr, reference.psnr, reference.source)


def bicubic_psnr(dataset: Dataset, index: int, track: Track) -> float:
    """Return bicubic's PSNR on one image as the track scores it, dB."""
    lr, hr = dataset.pair(index)
    quality = evaluate_pair(upscale_bicubic(lr, track.scale), hr, track.convention, scale=track.scale)
    # Identical images have an infinite PSNR, which JSON does not have.
    return min(float(getattr(quality, track.metric)), PSNR_CAP)


def _described(one: LabelledDataset, folder: str, bicubic: dict[str, float]) -> StoredDataset:
    return StoredDataset(
        folder=folder,
        label=one.label,
        name=one.dataset.name,
        degradation=one.dataset.degradation.description,
        images=list(one.dataset.names),
        bicubic=bicubic,
    )
