"""Atomic file writes: write to a temporary name, flush to disk, then rename."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from harness.errors import ResultsError

_TEMPORARY = ".part"


def write_atomically(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace the content of `path` atomically. A file that already has this content is not written.

    Readers see either the old or the complete new content, also after a crash.

    Parameters
    ----------
    path
        The file; its folder is created if needed.
    content
        What it is to hold.
    sync
        Wait until the disk has the content. Without it, a power failure can lose the file, which is acceptable if it
        can be made again from others.

    Raises
    ------
    ResultsError
        The disk is full or the folder is not writable. The previous content is unchanged.
    """
    if _has_content(path, content):
        return
    try:
        with atomic_file(path, sync=sync) as stream:
            stream.write(content)
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be written ({error.strerror or error})"
        raise ResultsError(reason, where=str(path), hint=_remedy(path, error)) from error


@contextlib.contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an exception.

    Raises
    ------
    OSError
        The disk is full or the folder cannot be written; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within one file system. The prefix is cut, because file
    # names are limited to 255 bytes.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=_TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes it readable to its owner only
        Path(temporary).replace(path)
    # Also for KeyboardInterrupt, so that no temporary file remains.
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _remedy(path: Path, error: OSError) -> str:
    """Return what to do about a file that could not be written."""
    if path.is_dir():
        return "name a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free disk space; files written earlier are intact"
    return "choose another place, or make this one writable; files written earlier are intact"


def remove_remains(folder: Path) -> None:
    """Delete temporary files that a killed :func:`write_atomically` left below `folder`.

    No other process may be writing there.
    """
    # mkstemp puts eight random characters between prefix and suffix.
    for path in folder.rglob(f".*.????????{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def _has_content(path: Path, content: bytes) -> bool:
    """Return whether a file has exactly this content, to avoid a needless fsync and a new modification time."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
