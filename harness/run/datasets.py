"""The data sets of a run: one or several, each with a label for its figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.data import Dataset, get_degradation, open_dataset
from harness.errors import DataError, UsageError
from harness.quality import get_convention
from harness.tracks import Track, TrackDataset


@dataclass(frozen=True, slots=True)
class LabelledDataset:
    """A data set with its place in a run.

    Attributes
    ----------
    label
        Role of the data set in the track, such as ``test``, or a word made from its name. Empty for a run's only data
        set if the track knows no roles.
    dataset
        Pairs of LR and HR images.
    """

    label: str
    dataset: Dataset


def open_datasets(
    names: Sequence[str], track: Track, further_conventions: Sequence[str] = ()
) -> tuple[LabelledDataset, ...]:
    """Open the data sets of a run.

    Parameters
    ----------
    names
        Names or folders, see :func:`harness.data.open_dataset`, optionally as ``ROLE=NAME`` with a role of the track.
        Without roles, they take the roles of the track in order. If the roles differ in their degradation only, as the
        quality levels of a codec, one name serves them all.
    track
        Knows roles and degradations.
    further_conventions
        Definitions of PSNR and SSIM by which images are measured besides that of the track.

    Raises
    ------
    UsageError
        A data set does not exist, or a role is given twice.
    DataError
        A data set cannot be read, or an image is smaller than SSIM's window.
    """
    roles = {role.role: role for role in track.datasets}
    given = [_split(name, roles) for name in names]
    # One name for roles that differ in degradation only: the same HR images are degraded once for each role.
    if len(given) == 1 and given[0][0] is None and roles and all(role.degradation for role in roles.values()):
        given = [(role, given[0][1]) for role in roles]
    # Roles that are not given explicitly are assigned to the remaining names in order.
    free = [role for role in roles if role not in {role for role, _ in given}]
    opened: list[LabelledDataset] = []
    for role, name in given:
        # More names than roles: the rest get labels made of their own names, below.
        label = role if role is not None else (free.pop(0) if free else None)
        dataset = open_dataset(name, track.scale, get_degradation(_degradation(track, roles.get(label or ""))))
        several = len(given) > 1
        label = label if label is not None else (_word(dataset.name) if several else "")
        if label in {one.label for one in opened}:
            raise UsageError(
                f"--dataset: two data sets are called {label!r}", hint="rename one of the folders, or write ROLE=NAME"
            )
        # Before hours of timing, which count for these images only: the data set is another one once it is mended.
        dataset.check_images()
        _refuse_small_images(dataset, [track.convention, *further_conventions])
        opened.append(LabelledDataset(label, dataset))
    return tuple(opened)


def _refuse_small_images(dataset: Dataset, conventions: Sequence[str]) -> None:
    """Raise DataError if an image is too small for SSIM by one of the conventions."""
    found = dataset.smallest()
    least, name = max((get_convention(name).least_side(dataset.scale), name) for name in conventions)
    if found is not None and min(found[1]) < least:
        path, (height, width) = found
        raise DataError(
            f"gives an HR image of {width}x{height}, but SSIM of convention {name} needs {least}x{least} pixels",
            where=str(path),
            hint=f"remove it from data set {dataset.name}, or give a larger image",
        )


def _split(text: str, roles: dict[str, TrackDataset]) -> tuple[str | None, str]:
    role, separator, name = text.partition("=")
    # An equals sign in the path of a folder is no role.
    return (role, name) if separator and role in roles else (None, text)


def _degradation(track: Track, role: TrackDataset | None) -> str:
    return track.degradation if role is None or role.degradation is None else role.degradation


def _word(name: str) -> str:
    """Return a data set's name as a word that can be part of a column's name."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "data"
