"""Memory that the controller shares with one worker, for the arrays of their messages.

A reader copies arrays out before it looks at them: what a worker writes afterwards changes nothing that was read.
The controller makes the memory and seals its size: a worker that could shrink it would end the controller by a fault.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SEGMENT_BYTES = 256 << 20
"""Size of a segment: an output of 89 megapixels, ten times 4K. Only what is written to takes up memory."""


class Segment:
    """One end of the shared memory.

    Parameters
    ----------
    fd
        The memory as a file of fixed size; owned by the segment from now on.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._bytes: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)

    @classmethod
    def create(cls, size: int = SEGMENT_BYTES) -> Segment | None:
        """Return new memory whose size nobody can change, or None where the system has none (it needs Linux)."""
        try:
            fd = os.memfd_create("sr-harness", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except (OSError, AttributeError):
            return None
        try:
            os.ftruncate(fd, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(fd)
        except (OSError, AttributeError):
            os.close(fd)
            return None

    @property
    def size(self) -> int:
        """Bytes that it can hold."""
        return self._bytes.size

    def frame(self, height: int, width: int) -> NDArray[np.uint8] | None:
        """Return a view of the memory's beginning as H x W x 3, uint8, or None where it is too small.

        What is written there is not copied again when it is sent.
        """
        count = height * width * 3
        return self._bytes[:count].reshape(height, width, 3) if count <= self.size else None

    def write(self, arrays: Sequence[Array]) -> bool:
        """Write arrays, C-contiguous, one after another; return False where they do not fit."""
        if sum(array.nbytes for array in arrays) > self.size:
            return False
        place = 0
        for array in arrays:
            source, target = _flat(array), self._bytes[place : place + array.nbytes]
            if source.ctypes.data != target.ctypes.data:
                target[:] = source
            place += array.nbytes
        return True

    def read_into(self, array: Array, place: int) -> None:
        """Fill a C-contiguous array with the bytes from `place` on."""
        _flat(array)[:] = self._bytes[place : place + array.nbytes]

    def close(self) -> None:
        """Let go of this end; views of it must be gone."""
        os.close(self.fd)
        self._bytes = np.empty(0, np.uint8)
        self._map.close()


def _flat(array: Array) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)
