"""Compute metrics for two folders of images, matched by name, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.bounded import map_in_order
from harness.data.fitting import Cut, Fitted, fit_to_sr
from harness.data.images import image_entries, image_name, read_image, refuse_lost_colours
from harness.data.pairing import scale_in_ending
from harness.errors import DataError, HarnessError
from harness.machine.available_cores import available_cores
from harness.quality.convention import DEFAULT, Convention, get_convention
from harness.quality.evaluate import Quality, evaluate_pair
from harness.quality.metrics import Metric


@dataclass(frozen=True, slots=True)
class ImageScore:
    """Metrics of one image.

    Attributes
    ----------
    name
        Name of the HR file without extension.
    quality
        PSNR and SSIM.
    others
        Values of further metrics, by name.
    hr_cut
        Where the HR image was cut to the size of the SR image; ``none`` if both have the same size.
    """

    name: str
    quality: Quality
    others: Mapping[str, float] = field(default_factory=dict)
    hr_cut: Cut = "none"


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """Reason why one image could not be evaluated."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Job:
    """Settings that are common to all pairs."""

    rules: Convention
    scale: int | None
    threads: int | None
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    # Lists, because files may differ in the suffix only; `_partners` reports that.
    sr: list[Path]
    hr: list[Path]


def score_folders(
    sr_dir: Path,
    hr_dir: Path,
    convention: str | Convention = DEFAULT,
    *,
    scale: int | None = None,
    workers: int | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> Iterator[ImageScore | ImageFailure]:
    """Compare every image of a folder with the image of the same name in another folder.

    Parameters
    ----------
    sr_dir
        Folder of upscaled images. A name may end with the scale (``0801x2.png`` for ``0801.png``).
    hr_dir
        Folder of ground-truth images.
    convention
        A convention or its name.
    scale
        If given, an HR image whose SR image is smaller by the remainder of this scale is cut to the same size: at the
        top left, as MATLAB's and BasicSR's ``mod_crop`` do, or in the centre if SR resembles HR clearly more there.
        Images of equal size are compared as they are. Required by conventions that crop a border of this width.
    workers
        Number of pairs that are processed, and held in memory, at once; by default one per core.
    metrics
        Further metrics to compute, by name.

    Yields
    ------
    ImageScore or ImageFailure
        One result per name, in alphabetical order. A missing partner, different sizes or an unreadable file is a
        failure of this image only.

    Raises
    ------
    DataError
        If a folder is missing, or neither contains an image.
    UsageError
        If there is no such convention, or it requires a scale.
    """
    rules = get_convention(convention)
    # Raise before the first image is read. This function is no generator, so that usage errors occur at the call.
    rules.border_at(scale)
    tasks = _match(sr_dir, hr_dir)
    if not tasks:
        raise DataError("neither folder contains an image", where=f"{sr_dir}, {hr_dir}")
    count = workers or available_cores()
    # Images are processed in parallel, so that threads within an image would only compete for the same cores.
    job = _Job(rules, scale, 1 if count > 1 else None, metrics or {})
    score = partial(_score, job=job)
    return map_in_order(score, tasks, count)


def count_names(sr_dir: Path, hr_dir: Path) -> int:
    """Return the number of results that `score_folders` yields."""
    return len(_match(sr_dir, hr_dir))


def _match(sr_dir: Path, hr_dir: Path) -> list[_Task]:
    hr, sr = defaultdict(list), defaultdict(list)
    by_folded: dict[str, set[str]] = defaultdict(set)
    for path in image_entries(hr_dir):
        hr[image_name(path)].append(path)
        by_folded[image_name(path).casefold()].add(image_name(path))
    for path in image_entries(sr_dir):
        sr[_plain(path, hr, by_folded)].append(path)
    return [_Task(name, sr.get(name, []), hr.get(name, [])) for name in sorted(hr.keys() | sr.keys())]


def _plain(path: Path, hr: Mapping[str, object], by_folded: Mapping[str, set[str]]) -> str:
    """Return an SR image's name without a scale at its end, such as ``x2`` or ``_X2``, if an HR image is called so."""
    name, found = image_name(path), scale_in_ending(path)
    # Keep the name if it is that of an HR image already, which may itself end with x2.
    if name in hr or found is None:
        return name
    alike = by_folded.get(found[0], set())
    # Where HR names differ in case only, the one in the case of the SR name is meant.
    exact = [one for one in alike if name.startswith(one)]
    chosen = exact or list(alike)
    # An ambiguous name is kept; it is reported as an image without a partner.
    return chosen[0] if len(chosen) == 1 else name


def _score(task: _Task, job: _Job) -> ImageScore | ImageFailure:
    try:
        sr, fitted = _read(task, job.scale)
        quality = evaluate_pair(sr, fitted.hr, job.rules, scale=job.scale, threads=job.threads)
        others = {name: _apply(name, metric, sr, fitted.hr) for name, metric in job.metrics.items()}
        return ImageScore(task.name, quality, others, fitted.cut)
    except HarnessError as error:
        return ImageFailure(task.name, str(error))


def _apply(name: str, metric: Metric, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
    """Call a metric, possibly of a plugin, and convert its exceptions to DataError, so that only this image fails."""
    try:
        return float(metric(sr, hr))
    except HarnessError:
        raise
    except Exception as error:
        raise DataError(f"metric {name} failed ({type(error).__name__}: {error})") from error


def _read(task: _Task, scale: int | None) -> tuple[NDArray[np.uint8], Fitted]:
    sr_path, hr_path = _partners(task)
    sr, hr = read_image(sr_path), read_image(hr_path)
    refuse_lost_colours(sr, hr, sr_path, "SR")
    return sr.pixels, _fitted(sr.pixels, hr.pixels, scale, sr_path)


def _fitted(sr: NDArray[np.uint8], hr: NDArray[np.uint8], scale: int | None, path: Path) -> Fitted:
    """Return HR in the size of SR; raise DataError unless they have the same size after a crop to the scale."""
    height, width = hr.shape[:2]
    # The size that HR has after a crop to multiples of the scale is accepted, too.
    multiple = None if scale is None else (height - height % scale, width - width % scale)
    if sr.shape[:2] not in ((height, width), multiple):
        is_cropped = multiple not in (None, (height, width))
        cropped = f", {multiple[1]}x{multiple[0]} after a crop for scale {scale}" if multiple and is_cropped else ""
        raise DataError(
            f"is {sr.shape[1]}x{sr.shape[0]}, but its HR image is {width}x{height}{cropped}",
            where=str(path),
            hint="compare images of equal size" + ("; pass the scale to crop HR images" if scale is None else ""),
        )
    return fit_to_sr(hr, sr)


def _partners(task: _Task) -> tuple[Path, Path]:
    """Return the paths of the SR and the HR image of a name; raise DataError unless there is exactly one of each."""
    for kind, own, others in (("HR", task.hr, task.sr), ("SR", task.sr, task.hr)):
        if not own:
            raise DataError(
                f"there is no {kind} image of this name", where=str(others[0]), hint="give both files the same name"
            )
        if len(own) > 1:
            names = " and ".join(path.name for path in own)
            raise DataError(
                f"{names} are both {kind} images of {task.name}", where=str(own[0].parent), hint="remove all but one"
            )
    return task.sr[0], task.hr[0]
