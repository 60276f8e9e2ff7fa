"""Finding a data set: one of the harness or of an installed package, a folder, or a registered one."""

from __future__ import annotations

from pathlib import Path

from harness.data.datasets import Dataset, Storage
from harness.data.degradation import Degradation
from harness.data.fetching import by_hand
from harness.data.images import distinct_images, list_images
from harness.data.registry import DATASETS, KNOWN_DATASETS, hr_folder, registered
from harness.errors import DataError, UsageError

_HR_FOLDERS = ("HR", "GT", "hr", "gt")


def open_dataset(
    name_or_dir: str | Path, scale: int, degradation: Degradation, cache_dir: Path | None = None
) -> Dataset:
    """Open a data set.

    Parameters
    ----------
    name_or_dir
        ``embedded`` or a data set of an installed package (entry-point group ``harness.datasets``); a folder,
        either of HR images or with subfolders ``HR`` (or ``GT``) and ``LR`` (or ``LR_x2``, ``LRx2``, ``X2`` for
        scale 2); or a registered name such as ``Set5``. Write ``./embedded`` for a folder of the name of a data
        set. Without an LR folder, LR is made from HR.
    scale
        Upscaling factor.
    degradation
        How LR is made from HR.
    cache_dir
        Where made LR images are kept; the user's cache folder by default.

    Raises
    ------
    UsageError
        There is no such data set or folder.
    DataError
        The folder holds no images, or HR and LR do not match by name.
    """
    name = str(name_or_dir)
    if name in DATASETS.names():
        return _open_folder(name, DATASETS.get(name), scale, degradation, cache_dir)
    folder, folders = Path(name_or_dir), registered()
    if folder.is_dir():
        known_as = next((key for key, place in folders.items() if place == folder.resolve()), None)
        return _open_folder(_folder_name(folder), folder, scale, degradation, cache_dir, known_as)
    if name in folders:
        return _open_folder(name, folders[name], scale, degradation, cache_dir, name)
    raise UsageError(
        f"there is no data set or folder {name!r}",
        hint=f"give a folder of HR images, or {DATASETS.advice(name, folders)}"
        + (f"; {by_hand(KNOWN_DATASETS[name])}" if name in KNOWN_DATASETS else ""),
    )


def _folder_name(folder: Path) -> str:
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name in _HR_FOLDERS else resolved.name


def _open_folder(
    name: str,
    folder: Path,
    scale: int,
    degradation: Degradation,
    cache_dir: Path | None,
    registered_as: str | None = None,
) -> Dataset:
    hr_paths = distinct_images(hr_folder(folder))
    storage = Storage(cache_dir)
    lr_folder = _first_folder(folder, _lr_names(scale)) if hr_folder(folder) != folder else None
    if lr_folder is None:
        return Dataset(name, hr_paths, scale, degradation, storage=storage, registered_as=registered_as)
    given = Degradation("given", f"LR images as given in {lr_folder.name}")
    lr_paths = _matching(hr_paths, lr_folder, scale)
    return Dataset(name, hr_paths, scale, given, lr_paths=lr_paths, storage=storage, registered_as=registered_as)


def _first_folder(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _lr_names(scale: int) -> tuple[str, ...]:
    return (*(f"{stem}{scale}" for stem in ("LR_x", "LR_X", "LRx", "LR", "X", "x")), "LR", "lr")


def _matching(hr_paths: list[Path], lr_folder: Path, scale: int) -> list[Path]:
    """Return the LR image of each HR image: the same name, or the name with the scale behind it (``0801x2``)."""
    by_stem = {path.stem: path for path in list_images(lr_folder)}
    found = [by_stem.get(hr.stem) or by_stem.get(f"{hr.stem}x{scale}") for hr in hr_paths]
    missing = [hr.name for hr, lr in zip(hr_paths, found, strict=True) if lr is None]
    if missing:
        raise DataError(
            f"has no LR image for {len(missing)} of {len(hr_paths)} HR images: {', '.join(missing[:5])}",
            where=str(lr_folder),
            hint="name LR images as the HR images are named",
        )
    return [lr for lr in found if lr is not None]
