"""Generate LR images for a folder of HR images, like the challenge's ``prepare_data.py``, but resumable.

Files are written atomically. For each image, a JSON record stores the hash of its source and the settings, so that a
killed run resumes where it stopped and changed images are generated again. Leftover temporary files are deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.bounded import map_in_order
from harness.data.crop import centre_crop, centre_crop_to
from harness.data.degradation import Degradation, encode, shrink
from harness.data.images import distinct_images, encode_png, read_rgb
from harness.data.preparation_checks import refuse_losses
from harness.data.prepared_files import RECORDS, Work, file_sha256, identity
from harness.errors import DataError, HarnessError, UsageError
from harness.files import remove_remains, write_atomically
from harness.machine.available_cores import available_cores


@dataclass(frozen=True, slots=True)
class Prepared:
    """Result for one image.

    Attributes
    ----------
    name
        File name of the HR image.
    state
        ``made`` if it was generated now, ``kept`` if it existed already with the same source and settings, ``failed``.
    reason
        Error message if it failed, else empty.
    """

    name: str
    state: Literal["made", "kept", "failed"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Crop and output files of :func:`prepare`.

    Attributes
    ----------
    crop
        Height and width of the centre crop of every image; by default the largest multiples of the scale.
    with_hr
        Whether to write the cropped HR images too, as PNG.
    as_script
        Whether to reproduce the released ``prepare_data.py``, which stores LR images at JPEG quality 100 if the source
        ends in ``.jpg``.
    """

    crop: tuple[int, int] | None = None
    with_hr: bool = True
    as_script: bool = False


_DEFAULTS = PrepareOptions()


def prepare(
    hr_dir: Path,
    out: Path,
    scale: int,
    degradation: Degradation,
    options: PrepareOptions = _DEFAULTS,
    *,
    workers: int | None = None,
) -> Iterator[Prepared]:
    """Generate ``OUT/LR_xS`` (and ``OUT/HR``) from a folder of HR images; `open_dataset` can open OUT.

    Parameters
    ----------
    hr_dir
        Folder of HR images.
    out
        Folder to write to.
    scale
        Downscaling factor.
    degradation
        Degradation to apply. JPEG and AVIF images are stored as encoded, so that they are compressed only once;
        without a codec, LR images are stored as PNG.
    options
        The crop, and which files are written.
    workers
        Number of threads; one per core by default.

    Yields
    ------
    Prepared
        One per image, in order of name. An image that fails does not stop the others.

    Raises
    ------
    DataError
        The folder does not exist, contains no images, or contains two of the same name. Or a file would be changed
        that is a source, that no call of this function made, or that the images of another scale need.
    UsageError
        The crop is not a multiple of the scale.
    """
    sources = distinct_images(hr_dir)
    crop = options.crop
    if crop and (crop[0] % scale or crop[1] % scale):
        raise UsageError(f"a crop of {crop[1]}x{crop[0]} is not a multiple of the scale {scale}")
    known = frozenset(found for path in sources if (found := identity(path)) is not None)
    work = Work(out, scale, degradation, crop, options.with_hr, options.as_script, known)
    refuse_losses(sources, work)
    return _prepare_all(sources, work, workers or available_cores())


def _prepare_all(sources: Sequence[Path], work: Work, workers: int) -> Iterator[Prepared]:
    with _writing_to(work.out):
        yield from map_in_order(partial(_prepare, work=work), sources, workers)


@contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    """Hold a shared lock on the folder within the block; if no other process holds one, delete leftovers first.

    Every writer holds a shared lock, which the kernel releases when a process is killed. If the exclusive lock can be
    acquired, there is no other writer, and all temporary files belong to killed processes.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # if the folder cannot be created or locked, writing each image reports the error
            (out / RECORDS).mkdir(parents=True, exist_ok=True)
            lock = os.open(out / RECORDS, os.O_RDONLY)
            stack.callback(os.close, lock)
            with suppress(OSError):  # another process is writing, or a leftover cannot be deleted
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for folder in (out / RECORDS, out / "HR", *out.glob("LR_x*")):
                    remove_remains(folder)
            # Shared from here on, so that several processes can write different images.
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _prepare(source: Path, work: Work) -> Prepared:
    try:
        record = {**work.settings(), "source": file_sha256(source)}
        if _is_done(source, work, record):
            return Prepared(source.name, "kept")
        files = _generate(source, work)
        made = {path.relative_to(work.out).as_posix(): _digest(content) for path, content in files.items()}
        # Only after the new images were generated in memory: a failure leaves the old files and their record.
        _delete_stale(source, work, made)
        # Written first: a later call knows by it that the files are not the user's. Their hashes say if they are whole.
        write_atomically(work.record_path(source), json.dumps({**record, "files": made}).encode())
        for path, content in files.items():
            write_atomically(path, content)
    except HarnessError as error:
        return Prepared(source.name, "failed", str(error))
    return Prepared(source.name, "made")


def _is_done(source: Path, work: Work, record: dict[str, object]) -> bool:
    """Return whether the files for this source and these settings exist and are intact."""
    try:
        stored = json.loads(work.record_path(source).read_text())
        files = stored.pop("files")
        intact = all(file_sha256(work.out / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, AttributeError, DataError):
        return False
    return intact and stored == json.loads(json.dumps(record))  # tuples become lists


def _delete_stale(source: Path, work: Work, made: Iterable[str]) -> None:
    """Delete the image's files of other settings. With another codec they have another suffix and would remain."""
    records = work.records(source)
    needed = {name for record in records if record.scale != work.scale for name in record.files}
    stale = {name for record in records if record.scale == work.scale for name in record.files}
    for name in stale - needed - set(made):
        path = work.out / name
        try:
            if identity(path) not in work.sources:
                path.unlink(missing_ok=True)
        except OSError as error:
            reason = f"cannot be removed ({error.strerror or error})"
            raise DataError(reason, where=str(path), hint="remove it, or give another output folder") from error


def _generate(source: Path, work: Work) -> dict[Path, bytes]:
    hr = _cropped(read_rgb(source), source, work)
    degradation = work.degradation
    # Exactly this suffix, as in the script.
    if work.as_script and source.suffix == ".jpg" and degradation.codec == "jpeg":
        degradation = replace(degradation, quality=100)
    files = {work.lr_path(source): encode(shrink(hr, work.scale, degradation), degradation)}
    if work.writes_hr(source):
        files[work.hr_path(source)] = encode_png(hr)
    return files


def _cropped(hr: NDArray[np.uint8], source: Path, work: Work) -> NDArray[np.uint8]:
    height, width = work.crop or hr.shape[:2]
    if hr.shape[0] < max(height, work.scale) or hr.shape[1] < max(width, work.scale):
        raise DataError(f"is {hr.shape[1]}x{hr.shape[0]}, too small for this crop and scale", where=str(source))
    return centre_crop_to(hr, height, width) if work.crop else centre_crop(hr, work.scale)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
