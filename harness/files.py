"""Atomic file writes: write to a temporary name, flush to disk, then rename."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import ResultsError

_TEMPORARY = ".part"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the content of `path` atomically. A file that already has this content is not written.

    Readers see either the old or the complete new content, also after a crash or a power failure.

    Raises
    ------
    ResultsError
        The disk is full or the folder is not writable. The previous content is unchanged.
    """
    if _has_content(path, content):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, because a rename is atomic only within one file system. The prefix is cut, because file
        # names are limited to 255 bytes.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=_TEMPORARY)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)  # mkstemp makes it readable to its owner only
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ResultsError(
            f"cannot be written ({error.strerror or error})",
            where=str(path),
            hint="free disk space or choose another folder with --out; files written earlier are intact",
        ) from error


def remove_remains(folder: Path) -> None:
    """Delete temporary files that a killed :func:`write_atomically` left below `folder`.

    No other process may be writing there.
    """
    for path in folder.rglob(f".*.????????{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def _has_content(path: Path, content: bytes) -> bool:
    """Return whether a file has exactly this content, to avoid a needless fsync and a new modification time."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
