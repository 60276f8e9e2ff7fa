"""Download data sets: with mirrors, checksums, resumption if the server supports it, and atomic extraction."""

from __future__ import annotations

import errno
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from harness.data.download import Progress, resuming_downloader
from harness.data.images import list_images
from harness.data.registry import KNOWN_DATASETS, Archive, KnownDataset, add
from harness.errors import DataError, UsageError
from harness.machine.cache_folder import CACHE_HINT, cache_root
from harness.suggestions import choice

# What the readers of archives raise for one that is cut short or altered.
_DAMAGE = (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
# The archive is not at fault.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Download a known data set, unpack it and register it.

    Parameters
    ----------
    name
        One of `KNOWN_DATASETS`.
    progress
        Called repeatedly with the received and the total number of bytes.

    Returns
    -------
    pathlib.Path
        Folder of the data set.

    Raises
    ------
    UsageError
        The data set is unknown, or pooch is not installed.
    DataError
        The set is not publicly downloadable, or all mirrors failed. The message explains how to add it by hand.
    """
    if name not in KNOWN_DATASETS:
        raise UsageError(f"no data set is called {name!r}", hint=choice(name, KNOWN_DATASETS))
    known = KNOWN_DATASETS[name]
    if known.archive is None:
        raise DataError(f"{name} cannot be downloaded without asking its authors", hint=by_hand(known))
    # Before the download of many megabytes, whose archive is stored there.
    _require_cache()
    archive = _download(known, known.archive, progress)
    folder = cache_root() / "datasets" / name
    _unpack(archive, folder, known)
    add(name, folder)
    return folder


def _require_cache() -> None:
    """Raise DataError if the cache folder cannot be created."""
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot be created ({error.strerror or error})"
        raise DataError(reason, where=str(folder), hint=CACHE_HINT) from error


def by_hand(known: KnownDataset) -> str:
    """Return instructions to obtain and register a data set by hand."""
    return (
        f"get its HR images from {known.where}; put them into a folder HR; "
        f"then: harness datasets add {known.name} FOLDER"
    )


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise UsageError(
            "downloading needs the package pooch", hint="install it: python -m pip install pooch"
        ) from error
    pooch.get_logger().setLevel("WARNING")
    return pooch


def _download(known: KnownDataset, archive: Archive, progress: Progress | None) -> Path:
    pooch = _pooch()
    reasons = []
    for url in archive.urls:
        try:
            path = pooch.retrieve(
                url,
                known_hash=archive.checksum,
                fname=url.rpartition("/")[2],
                path=cache_root() / "archives",
                downloader=resuming_downloader(progress),
            )
        except Exception as error:  # noqa: BLE001 - pooch does not wrap exceptions of requests, urllib3 and the file system
            reasons.append(f"{url}: {error}")
        else:
            return Path(path)
    raise DataError(f"{known.name} could not be downloaded ({'; '.join(reasons)})", hint=by_hand(known))


def _unpack(archive: Path, folder: Path, known: KnownDataset) -> None:
    """Extract the images of an archive to ``FOLDER/HR`` atomically."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as temporary:
        raw, whole = Path(temporary) / "raw", Path(temporary) / "whole"
        try:
            # The filter "data" rejects absolute paths, links and devices. shutil's zip extraction skips unsafe names.
            shutil.unpack_archive(archive, raw, filter="data" if ".tar" in archive.name else None)
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise DataError(
                    f"cannot be unpacked ({error})", where=str(archive), hint="make room for its images; it is kept"
                ) from error
            archive.unlink(missing_ok=True)  # pooch would otherwise reuse the damaged file if there is no checksum
            raise DataError(f"is not an intact archive ({error})", where=str(archive), hint="fetch it again") from error
        images = [path for place in (raw, *raw.rglob("*")) if place.is_dir() for path in list_images(place)]
        if not images or known.images not in (None, len(images)):
            raise DataError(
                f"holds {len(images)} images, but {known.name} has {known.images}",
                where=str(archive),
                hint=by_hand(known),
            )
        names = Counter(path.name for path in images)
        if len(names) < len(images):
            twice = min(name for name, count in names.items() if count > 1)
            what = f"holds several images called {twice!r} in different folders"
            raise DataError(what, where=str(archive), hint=by_hand(known))
        (whole / "HR").mkdir(parents=True)
        for path in images:
            path.replace(whole / "HR" / path.name)
        # A folder that is not empty cannot be replaced by rename().
        shutil.rmtree(folder, ignore_errors=True)
        whole.replace(folder)
