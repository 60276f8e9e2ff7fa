"""Private temporary folders of workers, and the removal of those that a killed run left behind.

A folder is locked for as long as its controller lives, because the kernel releases the lock (``flock``) of a process
that is killed. A folder that can be locked belongs to no running process.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "sr-harness-worker-"
_YOUNG_S = 60.0
"""A folder is not locked at the moment at which it is created, so younger ones are left alone."""

_locks: dict[Path, int] = {}


def make_private_folder() -> Path:
    """Create a folder that only this user can read, locked until :func:`remove_private_folder`.

    The first call removes what killed runs left.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = _locked(folder)
    if lock is not None:
        _locks[folder] = lock
    _sweep_once(folder.parent)
    return folder


def remove_private_folder(folder: Path) -> None:
    """Delete a folder with its content, and release its lock."""
    # Deleted under the lock: an unlocked folder could be swept by another run at the same time.
    shutil.rmtree(folder, ignore_errors=True)
    lock = _locks.pop(folder, None)
    if lock is not None:
        os.close(lock)


def sweep(parent: Path, young_s: float = _YOUNG_S) -> int:
    """Delete the folders below `parent` that no running process has locked; return how many there were.

    Parameters
    ----------
    parent
        Folder for temporary files. Other users may have folders and links there, which are left alone.
    young_s
        Folders that changed within as many seconds are left alone.
    """
    swept = 0
    for folder in parent.glob(f"{PREFIX}*"):
        if _is_ours(folder, young_s):
            lock = _locked(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                swept += 1
    return swept


@functools.cache
def _sweep_once(parent: Path) -> None:
    with contextlib.suppress(OSError):
        sweep(parent)


def _is_ours(folder: Path, young_s: float) -> bool:
    """Return whether a folder of this user, or any for root, is old enough. False for links."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return os.geteuid() in (0, found.st_uid) and time.time() - found.st_ctime > young_s


def _locked(folder: Path) -> int | None:
    """Lock a folder and return the descriptor that holds the lock; None if it is locked or cannot be."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system has no locks
        os.close(descriptor)
        return None
    return descriptor
