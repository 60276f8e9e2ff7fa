"""Cache decoded images on disk, in an anonymous memory-mapped file that disappears with the process."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.uint8]

SPARE = 2 << 30
"""Free disk space, in bytes, that the spool leaves to other programs."""


class Spool:
    """Stores arrays on disk up to a limit and returns memory-mapped views of them.

    Parameters
    ----------
    folder
        Folder of the file. The file is unlinked as soon as it is open, so that a killed process leaves nothing behind.
    limit
        Largest size of the file, bytes.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._size = 0
        self._file: IO[bytes] | None = None
        self._lock = Lock()

    def keep(self, arrays: tuple[Array, ...]) -> tuple[Array, ...] | None:
        """Write arrays to disk and return read-only views of them, or None if there is not enough space."""
        needed = sum(array.nbytes for array in arrays)
        with self._lock:
            try:
                if self._size + needed > self._limit or not self._has_room(needed):
                    return None
                return tuple(map(self._append, arrays))
            except OSError:  # full or read-only disk: images are decoded again instead
                # With this limit, no further attempt is made.
                self._limit = 0
                return None

    def _has_room(self, needed: int) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._folder).free > needed + SPARE

    def _append(self, array: Array) -> Array:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  open for the lifetime of the spool
            # Views keep their own reference to the mapping and stay valid after the file is closed.
            weakref.finalize(self, self._file.close)
        self._file.seek(self._size)
        self._file.write(np.ascontiguousarray(array).data)
        self._file.flush()  # a mapping does not see data in Python's buffer
        view = np.memmap(self._file, np.uint8, "r", self._size, array.shape)
        self._size += array.nbytes
        return np.asarray(view)
