"""PSNR of bicubic interpolation, which scores subtract: measured on the data set, or the challenge's constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from harness import __version__
from harness.data import Dataset
from harness.quality import evaluate_pair, upscale_bicubic
from harness.quality.evaluate import mean_psnr
from harness.results import RunStore, combine
from harness.run.plan import Plan
from harness.run.quality_pass import PSNR_CAP
from harness.tracks import Track

# Different JPEG encoders change bicubic's PSNR by 0.1 dB; different images change it by whole decibels.
_TOLERANCE_DB = 0.15


@dataclass(frozen=True, slots=True)
class BicubicReference:
    """What the score subtracts.

    Attributes
    ----------
    psnr
        dB, by the track's metric and convention.
    source
        Whether it was measured here or is the challenge's constant.
    warnings
        What a reader of the table must know about it.
    by_dataset
        The same figure on each data set, by label; `psnr` is their mean.
    """

    psnr: float
    source: Literal["measured", "published"]
    warnings: tuple[str, ...] = ()
    by_dataset: Mapping[str, float] = field(default_factory=dict)


def find_bicubic_reference(plan: Plan, store: RunStore) -> BicubicReference:
    """Return the challenge's constant if the images are the challenge's, else the PSNR measured on them.

    A data set counts as the challenge's if it is registered under that name and bicubic reaches the constant on it.
    """
    # Measured even where the constant is used in the end: the comparison of both tells whether the images are right.
    by_dataset = {one.label: _measured(plan, store, one.dataset) for one in plan.datasets}
    return choose_reference(plan.track, [one.dataset for one in plan.datasets], by_dataset)


def choose_reference(track: Track, datasets: Sequence[Dataset], by_dataset: Mapping[str, float]) -> BicubicReference:
    """Return what the score subtracts; see :func:`find_bicubic_reference`.

    Parameters
    ----------
    track
        Has the challenge's constants by data set.
    datasets
        All data sets of the run.
    by_dataset
        Bicubic's PSNR on each data set, dB, by label.
    """
    measured = fmean(by_dataset.values())
    # The constants are for a single registered data set, possibly at several qualities.
    # An unregistered folder, alone or beside a registered one, has no constant.
    names = {one.registered_as or "" for one in datasets}
    name = names.pop() if len(names) == 1 else ""
    official = track.official_bicubic.get(name)
    if official is None:
        return BicubicReference(measured, "measured", by_dataset=by_dataset)
    if abs(measured - official) <= _TOLERANCE_DB:
        # The constant, not the measured value: scores must be comparable with the challenge's own table.
        return BicubicReference(official, "published", by_dataset=by_dataset)
    found = f"bicubic reaches {measured:.3f} dB on them, {official:g} dB on the challenge's"
    warning = f"the images registered as {name} are not the challenge's ({found}): the score subtracts the former"
    return BicubicReference(measured, "measured", (warning,), by_dataset)


def _measured(plan: Plan, store: RunStore, dataset: Dataset) -> float:
    """Return bicubic's mean PSNR on the data set, kept with the run so that an unchanged run does not repeat it."""
    fingerprint = combine(
        {
            "harness": __version__,
            "dataset": dataset.fingerprint,
            "scale": plan.track.scale,
            "convention": plan.track.convention,
            "metric": plan.track.metric,
            # Other versions of what decodes and interpolates may round differently.
            "torch": plan.device.torch,
            "versions": plan.device.versions,
        }
    )
    known = store.reference_psnr(fingerprint)
    if known is None:
        known = mean_psnr([_bicubic_on(plan, dataset, index) for index in range(len(dataset))], plan.track.convention)
        store.save_reference_psnr(fingerprint, known)
    return known


def _bicubic_on(plan: Plan, dataset: Dataset, index: int) -> float:
    lr, hr = dataset.pair(index)
    quality = evaluate_pair(upscale_bicubic(lr, plan.track.scale), hr, plan.track.convention, scale=plan.track.scale)
    return min(float(getattr(quality, plan.track.metric)), PSNR_CAP)
