"""Marks: the controller learns from the kernel when each timed call began and ended.

The worker sends an empty datagram just before and just after each timed window. The kernel stamps it with the time at
which it was sent (``SO_TIMESTAMPNS``), and the controller reads it later, so no process wakes up or spins during
the call, and code in the worker cannot choose the time that is stamped. Linux only.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

# asm-generic/socket.h; Python's socket module does not define it.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_MAX_MARKS = 1 << 20  # of one request


class MarkReader:
    """The controller's end.

    Parameters
    ----------
    sock
        Datagram socket. The reader takes ownership.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._times: list[float] = []

    def collect(self) -> None:
        """Read all marks that have been sent, so that the socket's buffer does not fill up."""
        while len(self._times) < _MAX_MARKS:
            try:
                _, ancillary, _, _ = self._sock.recvmsg(1, socket.CMSG_SPACE(_TIMESPEC.size), socket.MSG_DONTWAIT)
            except OSError:  # nothing is left
                return
            for _, kind, data in ancillary:
                if kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                    self._times.append(seconds + nanoseconds / 1e9)

    def take(self) -> tuple[float, ...]:
        """Return the times of all marks since the last call, seconds, in order."""
        self.collect()
        times, self._times = tuple(self._times), []
        return times

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


def durations_ms(marks: Sequence[float]) -> list[float]:
    """Return the time between the two marks of each call, milliseconds."""
    return [1e3 * (end - begin) for begin, end in zip(marks[::2], marks[1::2], strict=True)]


def make_marks() -> tuple[MarkReader, socket.socket] | None:
    """Return the controller's end and the worker's socket; None where the kernel does not stamp such messages."""
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError:
        return None
    reader = MarkReader(ours)
    try:
        ours.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        # A trial: only a received datagram shows whether the kernel stamps datagrams of this kind.
        theirs.send(b"")
    except OSError:
        reader.close()
        theirs.close()
        return None
    if len(reader.take()) != 1:
        reader.close()
        theirs.close()
        return None
    return reader, theirs
