"""The registry of data sets: standard test sets with their sources, and the folders registered on this machine.

URLs and checksums are included only if a public source states them. Otherwise, `where` names a contact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from harness.data.bounded import map_in_order
from harness.data.images import image_entries, read_rgb
from harness.data.known_pixels import KNOWN_PIXELS, pixel_digest
from harness.data.layouts import folders_within, hr_folder, hr_images
from harness.errors import DataError, HarnessError, ResultsError, UsageError
from harness.files import write_atomically
from harness.machine.available_cores import available_cores
from harness.machine.cache_folder import CACHE_HINT, cache_root
from harness.plugins import Registry

EMBEDDED = Path(__file__).parent / "embedded"
"""Folder of the data set that is part of the package."""


def _folder(loaded: object) -> Path:
    """Return the folder of an entry point, which is a path or a function without arguments that returns one."""
    folder = loaded() if callable(loaded) else loaded
    if not isinstance(folder, str | Path):
        raise TypeError(f"it gives a {type(folder).__name__}, not a folder")
    return Path(folder)


DATASETS: Registry[Path] = Registry("harness.datasets", "data set", _folder)
"""Folders of the data sets of the harness and of installed packages."""

_HUB = "https://huggingface.co/datasets/eugenesiow"
_HUB_NOTE = "or an HR archive from another copy of the set: take care that nobody cropped or recompressed it"


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to download.

    Attributes
    ----------
    urls
        URLs of the file and its mirrors, in order of preference.
    checksum
        ``algorithm:hexadecimal`` as published by another user of the file; None if there is none.
    """

    urls: tuple[str, ...]
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A published data set.

    Attributes
    ----------
    name
        Name on the command line.
    title
        Title with reference.
    images
        Number of HR images; None if unknown.
    megabytes
        Approximate size of the HR images, MB; None if unknown.
    licence
        Licence as stated by the authors.
    where
        Where to get the data set by hand.
    archive
        File that `fetch` downloads; None if the data set requires a request or registration.
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
    """One line of ``harness datasets``.

    Attributes
    ----------
    name
        Name of the data set.
    known
        The published data set of that name; None for a user's own data set.
    folder
        Folder of the images; None if they are not on this machine.
    found
        Number of images in the folder.
    """

    name: str
    known: KnownDataset | None
    folder: Path | None
    found: int


def registry_path() -> Path:
    """Return the JSON file that maps names of data sets to folders."""
    return cache_root() / "datasets.json"


def registered() -> dict[str, Path]:
    """Return the registered folders by name.

    Raises
    ------
    DataError
        The registry file is damaged or cannot be read.
    """
    path = registry_path()
    try:
        content = json.loads(path.read_text())
        return {str(name): Path(folder) for name, folder in content.items()}
    except (FileNotFoundError, NotADirectoryError):  # nothing can have been registered there
        return {}
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=str(path), hint=CACHE_HINT) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError("is damaged", where=str(path), hint="remove it and register the folders again") from error


def require_name(name: str) -> None:
    """Raise UsageError if the name of a data set is empty: as a path, it would be the current folder."""
    if not name.strip():
        raise UsageError("the name of a data set is empty", hint="give a name or a folder; a dot is the current folder")


def add(name: str, folder: Path) -> int:
    """Register `folder` as the data set `name` and return its number of HR images.

    Raises
    ------
    DataError
        The folder does not exist, contains no images, or not the number of images of the published set of that name; or
        the cache folder cannot be written.
    UsageError
        The name is that of a data set of the harness or of an installed package, or looks like a path.
    """
    taken = DATASETS.names()
    # A name with a separator would be taken for a path when it is opened.
    if name in taken or not name or {"/", "\\"} & set(name):
        raise UsageError(
            f"{name!r} cannot name a data set", hint=f"choose a plain word that is none of: {', '.join(taken)}"
        )
    count = len(hr_images(folder))
    known = KNOWN_DATASETS.get(name)
    if known and known.images not in (None, count):
        raise DataError(
            f"holds {count} images, but {name} has {known.images}",
            where=str(folder),
            hint="complete it, or register it under another name",
        )
    # Resolved, so that the entry holds in every working directory.
    folders = {**registered(), name: folder.resolve()}
    content = json.dumps({key: str(value) for key, value in sorted(folders.items())}, indent=2)
    try:
        write_atomically(registry_path(), f"{content}\n".encode())
    except ResultsError as error:  # its advice is about the folder of a run
        raise DataError(error.what, where=error.where, hint=CACHE_HINT) from error
    return count


def list_datasets() -> list[Listed]:
    """Return the data sets of packages, the published ones and the registered ones, in this order."""
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
    found = 0
    with suppress(DataError):  # a folder that changed since it was registered: opening it gives the reason
        found = len(image_entries(hr_folder(folder))) if folder is not None and here else 0
    return Listed(name, KNOWN_DATASETS.get(name), folder if here else None, found)


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of `verify` for one image; `reason` is the error message of a bad one."""

    name: str
    state: Literal["ok", "bad"]
    reason: str = ""


def verify(folder: Path, workers: int | None = None, name: str = "") -> Iterator[Checked]:
    """Decode every image of a data set, HR and LR, and report which cannot be used.

    Parameters
    ----------
    folder
        Folder of images, or of subfolders with images such as ``HR``.
    workers
        Number of threads; one per core by default.
    name
        Name of the data set. If its pixel hashes are known, HR images must have exactly these pixels.

    Yields
    ------
    Checked
        One per image, in order of path.

    Raises
    ------
    DataError
        The folder does not exist or contains no images.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder", where=str(folder), hint="register it again with its new path")
    # Subfolders are HR and LR images of any scale; the deepest are such as LR_bicubic/X2.
    paths = sorted(path for place in (folder, *folders_within(folder, 2)) for path in image_entries(place))
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
        reason = "is not an image of the data set: it is a different one, or was cropped or lossily compressed"
        return Checked(name, "bad", str(DataError(reason, where=str(path))))
    return Checked(name, "ok")
