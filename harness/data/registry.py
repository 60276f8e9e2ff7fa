"""The test sets of the field: what each is, where it comes from, and where it lies on this machine.

Only addresses and checksums that were read in public sources are here. Where none is certain, `where` says whom to ask.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from harness.data.bounded import map_in_order
from harness.data.cache import cache_root
from harness.data.images import distinct_images, list_images, read_rgb
from harness.data.known_pixels import KNOWN_PIXELS, pixel_digest
from harness.errors import DataError, HarnessError, UsageError
from harness.files import write_atomically
from harness.machine.available_cores import available_cores
from harness.plugins import Registry

EMBEDDED = Path(__file__).parent / "embedded"
"""The folder of the data set that comes with the harness."""


def _folder(loaded: object) -> Path:
    """Return the folder of an entry point, which is a path or a function without arguments that returns one."""
    folder = loaded() if callable(loaded) else loaded
    if not isinstance(folder, str | Path):
        raise TypeError(f"it gives a {type(folder).__name__}, not a folder")
    return Path(folder)


DATASETS: Registry[Path] = Registry("harness.datasets", "data set", _folder)
"""Folders of the data sets that come with the harness and with installed packages."""

_HUB = "https://huggingface.co/datasets/eugenesiow"
_HUB_NOTE = "or an HR archive from another copy of the set: take care that nobody cropped or recompressed it"


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to download.

    Attributes
    ----------
    urls
        The address and its mirrors, in order of preference.
    checksum
        ``algorithm:hexadecimal`` as published by another user of the file, or None where nobody publishes one.
    """

    urls: tuple[str, ...]
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A data set that papers use.

    Attributes
    ----------
    name
        What a user types.
    title
        The set in words.
    images
        Number of HR images; None where no source is certain.
    megabytes
        Approximate size of the HR images, or None.
    licence
        As its authors state it.
    where
        Where to get it by hand.
    archive
        What `fetch` downloads; None where one must ask or register.
    """

    name: str
    title: str
    images: int | None
    megabytes: int | None
    licence: str
    where: str
    archive: Archive | None = None


KNOWN_DATASETS = {
    known.name: known
    for known in (
        KnownDataset(
            "Set5",
            "Set5 (Bevilacqua et al., BMVC 2012)",
            5,
            1,
            "none stated; research use",
            f"{_HUB}/Set5, {_HUB_NOTE}",
            Archive((f"{_HUB}/Set5/resolve/main/data/Set5_HR.tar.gz",)),
        ),
        KnownDataset(
            "Set14",
            "Set14 (Zeyde et al., 2010); `bridge` is greyscale",
            14,
            5,
            "none stated; research use",
            f"{_HUB}/Set14, {_HUB_NOTE}",
            Archive((f"{_HUB}/Set14/resolve/main/data/Set14_HR.tar.gz",)),
        ),
        KnownDataset(
            "B100",
            "BSD100: 100 test images of the Berkeley segmentation data set (Martin et al., ICCV 2001)",
            100,
            15,
            "non-commercial research and education",
            f"https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/ or {_HUB}/BSD100",
            Archive((f"{_HUB}/BSD100/resolve/main/data/BSD100_HR.tar.gz",)),
        ),
        KnownDataset(
            "Urban100",
            "Urban100 (Huang et al., CVPR 2015)",
            100,
            130,
            "none stated; photographs from Flickr under Creative Commons licences",
            f"{_HUB}/Urban100, {_HUB_NOTE}",
            Archive((f"{_HUB}/Urban100/resolve/main/data/Urban100_HR.tar.gz",), "md5:65d9d84a34b72c6f7ca1e26a12df1e4c"),
        ),
        KnownDataset(
            "Manga109",
            "Manga109 (Matsui et al., 2017)",
            109,
            None,
            "academic use, on request",
            "http://www.manga109.org: request access there",
        ),
        KnownDataset(
            "DIV2K-valid",
            "DIV2K validation (Agustsson and Timofte, 2017)",
            100,
            449,
            "academic research",
            "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
            Archive(
                ("https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_HR.zip",),
                "sha256:20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
            ),
        ),
        KnownDataset(
            "LSDIR-valid",
            "LSDIR validation (Li et al., CVPRW 2023)",
            None,
            None,
            "academic research, after a request",
            "the page of LSDIR (Li et al., CVPRW 2023): request access there, take the HR images of the validation set",
        ),
        KnownDataset(
            "ntire23-test",
            "the 4K test set of the NTIRE 2023 real-time challenge (photographs, digital art, game frames)",
            None,
            None,
            "set by the organisers",
            "https://github.com/eduardzamfir/NTIRE23-RTSR: the organisers' links, or write to them",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of ``harness datasets``.

    Attributes
    ----------
    known
        The facts; None for a folder that a user registered under a name of their own.
    folder
        Where the images are; None where they are not on this machine.
    found
        Number of images there.
    """

    name: str
    known: KnownDataset | None
    folder: Path | None
    found: int


def registry_path() -> Path:
    """Return the file that remembers which folder holds which set."""
    return cache_root() / "datasets.json"


def registered() -> dict[str, Path]:
    """Return the folders that were registered, by name.

    Raises
    ------
    DataError
        The registry's file is damaged.
    """
    path = registry_path()
    try:
        content = json.loads(path.read_text())
        return {str(name): Path(folder) for name, folder in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError("is damaged", where=str(path), hint="remove it and register the folders again") from error


def add(name: str, folder: Path) -> int:
    """Remember that `folder` holds the data set `name`, and return how many HR images it has.

    Raises
    ------
    DataError
        The folder is missing, holds no images, or not as many as the set of that name has.
    UsageError
        The name is taken by a data set of the harness or of a package, or looks like a path.
    """
    taken = DATASETS.names()
    if name in taken or not name or {"/", "\\"} & set(name):
        raise UsageError(
            f"{name!r} cannot name a data set", hint=f"choose a plain word that is none of: {', '.join(taken)}"
        )
    count = len(distinct_images(hr_folder(folder)))
    known = KNOWN_DATASETS.get(name)
    if known and known.images not in (None, count):
        raise DataError(
            f"holds {count} images, but {name} has {known.images}",
            where=str(folder),
            hint="complete it, or register it under another name",
        )
    folders = {**registered(), name: folder.resolve()}
    content = json.dumps({key: str(value) for key, value in sorted(folders.items())}, indent=2)
    write_atomically(registry_path(), f"{content}\n".encode())
    return count


def hr_folder(folder: Path) -> Path:
    """Return the subfolder of HR images, or the folder itself."""
    return next((folder / name for name in ("HR", "GT", "hr", "gt") if (folder / name).is_dir()), folder)


def list_datasets() -> list[Listed]:
    """Return the data sets of the harness and of packages, the known and the registered ones."""
    folders = registered()
    own = DATASETS.names()
    names = [*own, *KNOWN_DATASETS, *sorted(folders.keys() - KNOWN_DATASETS.keys())]
    return [_listed(name, _folder_of_package(name) if name in own else folders.get(name)) for name in names]


def _folder_of_package(name: str) -> Path | None:
    """Return the folder of an entry point; None where it cannot be loaded, which ``harness plugins`` explains."""
    try:
        return DATASETS.get(name)
    except UsageError:
        return None


def _listed(name: str, folder: Path | None) -> Listed:
    here = folder is not None and folder.is_dir()
    found = len(list_images(hr_folder(folder))) if folder is not None and here else 0
    return Listed(name, KNOWN_DATASETS.get(name), folder if here else None, found)


@dataclass(frozen=True, slots=True)
class Checked:
    """What `verify` says of one image."""

    name: str
    state: Literal["ok", "bad"]
    reason: str = ""


def verify(folder: Path, workers: int | None = None, name: str = "") -> Iterator[Checked]:
    """Decode every image of a data set's folder, HR and LR, and say which cannot be used.

    Parameters
    ----------
    folder
        Holds the images, or ``HR`` and other folders of them.
    workers
        Images in work at once; by default one per core.
    name
        The set it is said to be: where fingerprints of that set are known, HR images must have its pixels.

    Raises
    ------
    DataError
        The folder is missing or holds no images.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder", where=str(folder), hint="register it again with its new path")
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    paths = [path for place in (folder, *inner) for path in list_images(place)]
    if not paths:
        raise DataError("holds no images", where=str(folder))
    check = partial(_check, folder=folder, known=KNOWN_PIXELS.get(name), hr=hr_folder(folder))
    return map_in_order(check, paths, workers or available_cores())


def _check(path: Path, folder: Path, known: Mapping[str, str] | None, hr: Path) -> Checked:
    name = path.relative_to(folder).as_posix()
    try:
        image = read_rgb(path)
    except HarnessError as error:
        return Checked(name, "bad", str(error))
    if known is not None and path.parent == hr and pixel_digest(image) not in known:
        reason = "is none of the set's images: another one, cropped, or compressed with loss"
        return Checked(name, "bad", str(DataError(reason, where=str(path))))
    return Checked(name, "ok")
