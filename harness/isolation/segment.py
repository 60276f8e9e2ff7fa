"""Shared memory between the controller and one worker, for the arrays of their messages.

The reader copies arrays out before it validates them, so that a worker cannot change them between check and use. The
controller creates the memory and seals its size: if the worker could shrink the file, the controller's next access
would raise SIGBUS and kill it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SEGMENT_BYTES = 256 << 20
"""Size of a segment: enough for an RGB output of 89 megapixels. Pages use memory only once they are written."""


class Segment:
    """One end of the shared memory.

    Parameters
    ----------
    fd
        File descriptor of a memory file of fixed size. The segment takes ownership.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._bytes: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)

    @classmethod
    def create(cls, size: int = SEGMENT_BYTES) -> Segment | None:
        """Create memory of fixed size, in bytes; return None if the system does not support sealing (Linux only)."""
        try:
            # memfd: no name in the file system, so that only a process that inherits the descriptor can open it.
            fd = os.memfd_create("sr-harness", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except (OSError, AttributeError):
            return None
        try:
            os.ftruncate(fd, size)
            # F_SEAL_SEAL makes the seals permanent.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(fd)
        except (OSError, AttributeError):
            os.close(fd)
            return None

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._bytes.size

    def frame(self, height: int, width: int) -> NDArray[np.uint8] | None:
        """Return a view of the start of the memory as an H x W x 3 uint8 array, or None if it is too small.

        :meth:`write` does not copy an array that is already in place.
        """
        count = height * width * 3
        return self._bytes[:count].reshape(height, width, 3) if count <= self.size else None

    def write(self, arrays: Sequence[Array]) -> bool:
        """Write C-contiguous arrays consecutively; return False, without writing, if they do not fit."""
        if sum(array.nbytes for array in arrays) > self.size:
            return False
        offset = 0
        for array in arrays:
            source, target = _flat(array), self._bytes[offset : offset + array.nbytes]
            if source.ctypes.data != target.ctypes.data:  # else the array is the view that `frame` returned
                target[:] = source
            offset += array.nbytes
        return True

    def read_into(self, array: Array, offset: int) -> None:
        """Fill a C-contiguous array with the bytes that start at `offset`."""
        _flat(array)[:] = self._bytes[offset : offset + array.nbytes]

    def close(self) -> None:
        """Unmap the memory at this end, or when the last view of it is gone: another thread may be copying from it."""
        os.close(self.fd)
        # mmap.close raises BufferError as long as an array refers to the mapping.
        self._bytes = np.empty(0, np.uint8)
        with suppress(BufferError):
            self._map.close()


def _flat(array: Array) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)
