"""Quality over several data sets: the mean of each, and their mean, in which every data set has the same weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.results.measurement import ImageQuality
from harness.results.schema import QualityFigures


def mean_quality(images: Sequence[QualityFigures], convention: str) -> QualityFigures:
    """Return the mean over images by the convention's rule: the mean of the PSNRs, unless it says otherwise."""
    from harness.quality import Quality, average

    mean = average([Quality(i.psnr_rgb, i.psnr_y, i.ssim_rgb, i.ssim_y) for i in images], convention)
    return QualityFigures(psnr_rgb=mean.psnr_rgb, psnr_y=mean.psnr_y, ssim_rgb=mean.ssim_rgb, ssim_y=mean.ssim_y)


def by_dataset(images: Sequence[ImageQuality]) -> dict[str, list[ImageQuality]]:
    """Return the images of each data set, by its label, in order."""
    groups: dict[str, list[ImageQuality]] = {}
    for image in images:
        # Runs of one data set have one group, whose label is empty.
        groups.setdefault(image.dataset, []).append(image)
    return groups


def mean_over_datasets(groups: Mapping[str, Sequence[QualityFigures]], convention: str) -> QualityFigures | None:
    """Return the mean of the data sets' means; None without images."""
    means = [mean_quality(images, convention) for images in groups.values() if images]
    if not means:
        return None
    return QualityFigures(
        psnr_rgb=fmean(mean.psnr_rgb for mean in means),
        psnr_y=fmean(mean.psnr_y for mean in means),
        ssim_rgb=fmean(mean.ssim_rgb for mean in means),
        ssim_y=fmean(mean.ssim_y for mean in means),
    )


def balanced(psnr: Mapping[str, float], labels: Mapping[str, str]) -> dict[str, float]:
    """Return values by image whose plain mean, and its spread, are those of the mean over data sets.

    Parameters
    ----------
    psnr
        PSNR by image, dB.
    labels
        Data set of each image.

    Notes
    -----
    The deviations of the images of a data set with n of N images are multiplied by N / (n * number of data sets), so
    that statistics that draw from all images weigh the data sets equally. With one data set nothing changes.
    """
    groups: dict[str, list[str]] = {}
    for name in psnr:
        groups.setdefault(labels.get(name, ""), []).append(name)
    if len(groups) < 2:
        return dict(psnr)
    means = {label: fmean(psnr[name] for name in names) for label, names in groups.items()}
    whole = fmean(means.values())
    weights = {label: len(psnr) / (len(names) * len(groups)) for label, names in groups.items()}
    # The mean stays that of the data sets' means; only deviations from the own mean are scaled.
    label_of = {name: label for label, names in groups.items() for name in names}
    return {name: whole + weights[label_of[name]] * (value - means[label_of[name]]) for name, value in psnr.items()}
