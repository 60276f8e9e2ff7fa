"""Files that are written whole or not at all: under a temporary name, flushed to the disk and renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from harness.errors import ResultsError

_TEMPORARY = ".part"


def write_atomically(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write `content` to `path` so that the file is either as before or complete; one that holds it already is left.

    Parameters
    ----------
    path
        The file; its folder is created if needed.
    content
        What it is to hold.
    sync
        Wait until the disk has the content. Without, a power cut can lose a file, which does for one that can be made
        again from others.

    Raises
    ------
    ResultsError
        The disk is full or the folder cannot be written; what was there before is untouched.
    """
    if _holds(path, content):
        return
    try:
        with atomic_file(path, sync=sync) as stream:
            stream.write(content)
    except OSError as error:
        raise ResultsError(
            f"cannot be written ({error.strerror or error})",
            where=str(path),
            hint="free some space or choose another folder with --out; what was saved before is intact",
        ) from error


@contextlib.contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a file to be written that takes the place of `path` when the block ends without an exception.

    Raises
    ------
    OSError
        The disk is full or the folder cannot be written; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=_TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_remains(folder: Path) -> None:
    """Delete what :func:`write_atomically` left below a folder when it was killed; nobody may be writing there."""
    for path in folder.rglob(f".*.????????{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def _holds(path: Path, content: bytes) -> bool:
    """Tell whether a file has this content, so that neither the disk nor whoever waits for it is troubled."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
