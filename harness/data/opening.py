"""Open a data set: one of the harness or of an installed package, a registered one, or a folder."""

from __future__ import annotations

from pathlib import Path

from harness.data.datasets import Dataset, Storage
from harness.data.degradation import GIVEN_LR, Degradation
from harness.data.fetching import by_hand
from harness.data.layouts import find_layout, is_hr_name
from harness.data.registry import DATASETS, KNOWN_DATASETS, registered, require_name
from harness.errors import UsageError


def open_dataset(
    name_or_dir: str | Path, scale: int, degradation: Degradation, cache_dir: Path | None = None
) -> Dataset:
    """Open a data set.

    Parameters
    ----------
    name_or_dir
        ``embedded`` or a data set of an installed package (entry-point group ``harness.datasets``); a folder of HR
        images, with or without LR images, in one of the layouts of `harness.data.layouts.find_layout`; or a registered
        name such as ``Set5``. Write ``./embedded`` for a folder of the name of a data set. LR is made from HR if there
        are no LR images.
    scale
        Upscaling factor.
    degradation
        How to generate LR from HR; unused if LR images are given.
    cache_dir
        Folder for generated LR images; the user's cache folder by default.

    Raises
    ------
    UsageError
        The data set or folder does not exist, or the name is empty.
    DataError
        The folder contains no images, or LR images that do not belong to the HR images.
    """
    # The order is that of the docstring: names of packages, then folders, then registered names.
    name = str(name_or_dir)
    require_name(name)
    if name in DATASETS.names():
        return _open_folder(name, DATASETS.get(name), scale, degradation, cache_dir)
    folder, folders = Path(name_or_dir), registered()
    if folder.is_dir():
        # A registered folder that is given by its path is still the registered data set.
        known_as = next((key for key, place in folders.items() if place == folder.resolve()), None)
        return _open_folder(_folder_name(folder), folder, scale, degradation, cache_dir, known_as)
    if name in folders:
        return _open_folder(name, folders[name], scale, degradation, cache_dir, name)
    raise UsageError(
        f"there is no data set or folder {name!r}",
        hint=f"{DATASETS.advice(name, folders)}; or give a folder of HR images"
        + (f"; {by_hand(KNOWN_DATASETS[name])}" if name in KNOWN_DATASETS else ""),
    )


def _folder_name(folder: Path) -> str:
    resolved = folder.resolve()
    # A folder called HR says nothing about the data set, unlike the one that contains it.
    return resolved.parent.name if is_hr_name(resolved.name) else resolved.name


def _open_folder(
    name: str,
    folder: Path,
    scale: int,
    degradation: Degradation,
    cache_dir: Path | None,
    registered_as: str | None = None,
) -> Dataset:
    layout = find_layout(folder, scale)
    if layout.lr_paths is not None:
        degradation = Degradation("given", GIVEN_LR + layout.lr_place)
    return Dataset(
        name,
        layout.hr_paths,
        scale,
        degradation,
        lr_paths=layout.lr_paths,
        storage=Storage(cache_dir),
        registered_as=registered_as,
    )
