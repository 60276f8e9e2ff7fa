"""A socket that carries message frames, with deadlines in both directions and optional shared memory for arrays."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.isolation.marks import MarkReader
from harness.isolation.messages import (
    MAX_PAYLOAD_BYTES,
    ChannelClosed,
    DeadlinePassed,
    Message,
    decode,
    encode,
)
from harness.isolation.segment import Segment

_POLL_S = 0.1  # interval at which a blocked end checks that the other process still runs
# A longer time between two readings of the clock means that this process was stopped (SIGSTOP, Ctrl-Z) meanwhile.
_STOPPED_S = 1.0


class Channel:
    """One end of the connection between the controller and a worker.

    The reply to request number n carries the sequence number n. Deadlines are extended by the time for which this
    process was stopped, in which it could not read.

    Parameters
    ----------
    sock
        Connected stream socket. The channel takes ownership.
    secret
        The channel's secret, 16 bytes.
    alive
        Returns whether the other process still runs. Called only while no data arrives.
    segment
        Shared memory for arrays, owned by the channel; None to send arrays through the socket. One segment serves both
        directions, because requests and replies alternate.
    marks
        The controller's end of the marks of timed calls, owned by the channel; None if there is none.
    """

    def __init__(
        self,
        sock: socket.socket,
        secret: bytes,
        alive: Callable[[], bool] = lambda: True,
        segment: Segment | None = None,
        marks: MarkReader | None = None,
    ) -> None:
        self._sock = sock
        self._secret = secret
        self._alive = alive
        self._segment = segment
        self._looked_at = time.monotonic()
        self._stopped_s = 0.0
        self._marks = marks

    def send(self, message: Message, sequence: int, deadline: float | None = None) -> None:
        """Send one message.

        Parameters
        ----------
        message
            Name, fields and arrays.
        sequence
            Sequence number of the frame.
        deadline
            Latest time on the ``time.monotonic`` clock, seconds; None to wait without limit.

        Raises
        ------
        DeadlinePassed
            The other end did not read the message in time.
        ChannelClosed
            The other end closed the socket or its process ended.
        """
        # Set for each request. `receive` continues from these values, because its deadline covers both directions.
        self._looked_at, self._stopped_s = time.monotonic(), 0.0
        for buffer in encode(message, self._secret, sequence, self._segment):
            self._send_all(buffer, deadline)

    def receive(self, sequence: int, deadline: float | None = None, max_payload: int = MAX_PAYLOAD_BYTES) -> Message:
        """Wait for the message with number `sequence` and validate it.

        Raises
        ------
        ProtocolError
            The message did not arrive before `deadline`, is invalid, or has more than `max_payload` array bytes.
        """
        return decode(
            lambda count: self._read_exactly(count, deadline), self._secret, sequence, max_payload, self._segment
        )

    def frame(self, height: int, width: int) -> NDArray[np.uint8] | None:
        """Return an H x W x 3 uint8 view of the shared memory, or None if there is none or it is too small.

        Sending the view as the first array of the next message avoids a copy.
        """
        return None if self._segment is None else self._segment.frame(height, width)

    def take_marks(self) -> tuple[float, ...] | None:
        """Return the times of the marks since the last call, seconds; None if there are no marks."""
        return None if self._marks is None else self._marks.take()

    def close(self) -> None:
        """Close this end."""
        self._sock.close()
        if self._marks is not None:
            self._marks.close()
            self._marks = None
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _send_all(self, buffer: memoryview, deadline: float | None) -> None:
        while buffer:
            self._wait(deadline)
            try:
                # Not sendall: after a timeout it does not report how much was sent.
                buffer = buffer[self._sock.send(buffer) :]
            except TimeoutError:
                self._require_alive()
            except OSError as error:
                raise ChannelClosed(f"the channel was closed: {error.strerror}") from None

    def _read_exactly(self, count: int, deadline: float | None) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            self._wait(deadline)
            try:
                received = self._sock.recv_into(view)
            except TimeoutError:
                self._require_alive()
                continue
            except OSError as error:
                raise ChannelClosed(f"the channel was closed: {error.strerror}") from None
            if not received:  # end-of-file
                raise ChannelClosed
            view = view[received:]
        return data

    def _wait(self, deadline: float | None) -> None:
        """Set the timeout of the next socket call. The timeout is short, so that a dead process is noticed soon."""
        now = time.monotonic()
        since_last_look, self._looked_at = now - self._looked_at, now
        if since_last_look > _STOPPED_S:
            self._stopped_s += since_last_look
        left = _POLL_S if deadline is None else min(_POLL_S, deadline + self._stopped_s - now)
        if left <= 0:
            raise DeadlinePassed
        self._sock.settimeout(left)

    def _require_alive(self) -> None:
        if self._marks is not None:
            # Called about every _POLL_S while a timing request runs, when nothing else empties the buffer of the marks.
            self._marks.collect()
        # End-of-file does not always mark a dead worker: its descendants may hold a copy of the socket.
        if not self._alive():
            raise ChannelClosed("the process ended")
