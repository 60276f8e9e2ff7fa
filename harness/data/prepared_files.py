"""The files that :func:`harness.data.prepare` writes for each image, and the records of those that it wrote before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.data.cache import codec_versions
from harness.data.degradation import Degradation, file_suffix
from harness.errors import DataError

RECORDS = ".prepared"
"""Folder of the records, inside the folder that is written to."""
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Record:
    """What an earlier call made of one image.

    Attributes
    ----------
    scale
        Its scale.
    crop
        Its height and width; None for the largest multiples of the scale.
    source
        SHA-256 of the source.
    files
        SHA-256 of each file by its path, relative to the folder that is written to.
    """

    scale: int
    crop: tuple[int, int] | None
    source: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """Settings of one call of :func:`harness.data.prepare`, shared by its threads.

    Attributes
    ----------
    out, scale, degradation
        See :func:`harness.data.prepare`.
    crop, with_hr, as_script
        See :class:`harness.data.PrepareOptions`.
    sources
        The files that images are made from. None of them is changed or deleted.
    """

    out: Path
    scale: int
    degradation: Degradation
    crop: tuple[int, int] | None
    with_hr: bool
    as_script: bool
    sources: frozenset[Identity]

    def lr_folder(self) -> Path:
        """Return the folder of the LR images."""
        return self.out / f"LR_x{self.scale}"

    def lr_path(self, source: Path) -> Path:
        """Return the path of the LR image of a source."""
        return self.lr_folder() / f"{source.stem}{file_suffix(self.degradation)}"

    def hr_path(self, source: Path) -> Path:
        """Return the path of the cropped HR image of a source."""
        return self.out / "HR" / f"{source.stem}.png"

    def record_path(self, source: Path) -> Path:
        """Return the path of the record of a source."""
        return self.out / RECORDS / f"x{self.scale}" / f"{source.stem}.json"

    def is_in_place(self, source: Path) -> bool:
        """Return whether a source is itself the HR image in the folder that is written to."""
        own = identity(source)
        return own is not None and own in map(identity, (self.hr_path(source), self.out / "HR" / source.name))

    def writes_hr(self, source: Path) -> bool:
        """Return whether the HR image of a source is written."""
        return self.with_hr and not self.is_in_place(source)

    def settings(self) -> dict[str, object]:
        """Return everything except the source that the pixels depend on."""
        return {
            "scale": self.scale,
            "degradation": self.degradation.parameters,
            "versions": codec_versions(self.degradation),
            "crop": self.crop,
            "with_hr": self.with_hr,
            "as_script": self.as_script,
        }

    def records(self, source: Path) -> list[Record]:
        """Return the records of an image, of all scales. Those that are damaged are left out."""
        folders = sorted((self.out / RECORDS).glob("x*"))
        read = (_read(folder / f"{source.stem}.json") for folder in folders)
        return [record for record in read if record is not None]


def identity(path: Path) -> Identity | None:
    """Return device and number of the file that a path leads to, through links; None if there is none."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; raise DataError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=str(path)) from error


def cropped_size(size: tuple[int, int], crop: tuple[int, int] | None, scale: int) -> tuple[int, int]:
    """Return height and width of an image after its crop."""
    return crop or (size[0] - size[0] % scale, size[1] - size[1] % scale)


def _read(path: Path) -> Record | None:
    try:
        stored = json.loads(path.read_text())
        crop = stored["crop"]
        return Record(
            int(stored["scale"]), crop and (int(crop[0]), int(crop[1])), str(stored["source"]), dict(stored["files"])
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
