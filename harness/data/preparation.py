"""LR images for a whole folder of HR images: what the challenge's ``prepare_data.py`` does, resumable.

Every file appears whole or not at all, and a journal says from which bytes and by which settings it was made, so that a
run that was killed goes on where it stopped, and a changed image is made again. What it left half-written is deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.bounded import map_in_order
from harness.data.cache import codec_versions
from harness.data.crop import centre_crop, centre_crop_to
from harness.data.degradation import Degradation, encode, file_suffix, shrink
from harness.data.images import distinct_images, encode_png, read_rgb
from harness.errors import DataError, HarnessError, UsageError
from harness.files import remove_remains, write_atomically
from harness.machine.available_cores import available_cores

_NOTES = ".prepared"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of one image.

    Attributes
    ----------
    name
        The HR file's name.
    state
        ``made``; ``kept`` where it was made before from the same bytes; or ``failed``.
    reason
        Why it failed.
    """

    name: str
    state: Literal["made", "kept", "failed"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What `prepare` cuts and writes.

    Attributes
    ----------
    crop
        Height and width that are cut from the middle of every image; without it, the largest multiples of the scale.
    with_hr
        Whether the cropped HR images are written too, as PNG.
    as_script
        Do as the released ``prepare_data.py`` does with sources that end in ``.jpg``: store their LR at quality 100.
    """

    crop: tuple[int, int] | None = None
    with_hr: bool = True
    as_script: bool = False


_DEFAULTS = PrepareOptions()


@dataclass(frozen=True, slots=True)
class _Work:
    """Settings of one call, shared by its workers."""

    out: Path
    scale: int
    degradation: Degradation
    crop: tuple[int, int] | None
    with_hr: bool
    as_script: bool

    def lr_path(self, source: Path) -> Path:
        return self.out / f"LR_x{self.scale}" / f"{source.stem}{file_suffix(self.degradation)}"

    def hr_path(self, source: Path) -> Path:
        return self.out / "HR" / f"{source.stem}.png"

    def note_path(self, source: Path) -> Path:
        return self.out / _NOTES / f"x{self.scale}" / f"{source.stem}.json"

    def settings(self) -> dict[str, object]:
        """Return what the pixels depend on besides the source."""
        return {
            "scale": self.scale,
            "degradation": self.degradation.parameters,
            "versions": codec_versions(self.degradation),
            "crop": self.crop,
            "with_hr": self.with_hr,
            "as_script": self.as_script,
        }


def prepare(
    hr_dir: Path,
    out: Path,
    scale: int,
    degradation: Degradation,
    options: PrepareOptions = _DEFAULTS,
    *,
    workers: int | None = None,
) -> Iterator[Prepared]:
    """Make ``OUT/LR_xS`` (and ``OUT/HR``) from a folder of HR images; `open_dataset` opens OUT.

    Parameters
    ----------
    hr_dir
        HR images.
    out
        Where the folders are made.
    scale
        The factor to shrink by.
    degradation
        How. JPEG and AVIF are stored as encoded, so that nothing is compressed twice; else LR is PNG.
    options
        What is cut and what is written.
    workers
        Images in work at once; by default one per core.

    Yields
    ------
    Prepared
        In order of name. Images that fail are reported, and the rest goes on.

    Raises
    ------
    DataError
        The folder is missing, holds no images, or two of one name.
    UsageError
        The crop is no multiple of the scale.
    """
    sources = distinct_images(hr_dir)
    crop = options.crop
    if crop and (crop[0] % scale or crop[1] % scale):
        raise UsageError(f"a crop of {crop[1]}x{crop[0]} is no multiple of the scale {scale}")
    work = _Work(out, scale, degradation, crop, options.with_hr, options.as_script)
    return _prepare_all(sources, work, workers or available_cores())


def _prepare_all(sources: Sequence[Path], work: _Work, workers: int) -> Iterator[Prepared]:
    with _at_work(work.out):
        yield from map_in_order(partial(_prepare, work=work), sources, workers)


@contextmanager
def _at_work(out: Path) -> Iterator[None]:
    """Mark a folder as being written to; first, where nobody else writes, delete what a killed process left there.

    All who write share a lock, which the system takes back from those that are killed. Who gets it alone is alone.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a folder that cannot be made or locked: each image says why it cannot be written
            (out / _NOTES).mkdir(parents=True, exist_ok=True)
            lock = os.open(out / _NOTES, os.O_RDONLY)
            stack.callback(os.close, lock)
            with suppress(OSError):  # somebody else writes, or a remainder cannot be deleted
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for folder in (out / _NOTES, out / "HR", *out.glob("LR_x*")):
                    remove_remains(folder)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _prepare(source: Path, work: _Work) -> Prepared:
    try:
        note = {**work.settings(), "source": _sha256(source)}
        if _is_done(source, work, note):
            return Prepared(source.name, "kept")
        files = _make(source, work)
        _forget(source, work)
        for path, content in files.items():
            write_atomically(path, content)
        made = {path.relative_to(work.out).as_posix(): _digest(content) for path, content in files.items()}
        write_atomically(work.note_path(source), json.dumps({**note, "files": made}).encode())
    except HarnessError as error:
        return Prepared(source.name, "failed", str(error))
    return Prepared(source.name, "made")


def _is_done(source: Path, work: _Work, note: dict[str, object]) -> bool:
    """Return whether the files are there, of these settings and this source, and unharmed."""
    try:
        kept = json.loads(work.note_path(source).read_text())
        files = kept.pop("files")
        intact = all(_sha256(work.out / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, AttributeError, DataError):
        return False
    return intact and kept == json.loads(json.dumps(note))


def _forget(source: Path, work: _Work) -> None:
    """Remove what other settings made of this image: the LR of another codec has another suffix, and would stay."""
    try:
        stale = json.loads(work.note_path(source).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in stale:
        (work.out / name).unlink(missing_ok=True)


def _make(source: Path, work: _Work) -> dict[Path, bytes]:
    hr = _cropped(read_rgb(source), source, work)
    degradation = work.degradation
    if work.as_script and source.suffix == ".jpg" and degradation.codec == "jpeg":
        degradation = replace(degradation, quality=100)
    files = {work.lr_path(source): encode(shrink(hr, work.scale, degradation), degradation)}
    if work.with_hr:
        files[work.hr_path(source)] = encode_png(hr)
    return files


def _cropped(hr: NDArray[np.uint8], source: Path, work: _Work) -> NDArray[np.uint8]:
    height, width = work.crop or hr.shape[:2]
    if hr.shape[0] < max(height, work.scale) or hr.shape[1] < max(width, work.scale):
        raise DataError(f"is {hr.shape[1]}x{hr.shape[0]}, too small for this crop and scale", where=str(source))
    return centre_crop_to(hr, height, width) if work.crop else centre_crop(hr, work.scale)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return _digest(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
