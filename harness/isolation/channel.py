"""A connected socket that carries frames, with deadlines on both directions, beside memory for their arrays."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.isolation.messages import (
    MAX_PAYLOAD_BYTES,
    ChannelClosed,
    DeadlinePassed,
    Message,
    decode,
    encode,
)
from harness.isolation.segment import Segment

_SLICE_S = 0.1  # how often a blocked end looks whether the other one still lives


class Channel:
    """One end of the conversation between the controller and a worker.

    Requests and replies share one sequence: the reply to request n carries n.

    Parameters
    ----------
    sock
        Connected stream socket, owned by the channel from now on.
    secret
        The channel's secret, 16 bytes.
    alive
        Tells whether the other end's process still runs; asked only while nothing arrives.
    segment
        Memory that both ends share, owned by the channel from now on; None where arrays go through the socket.
        Requests and replies take turns, so that each finds it free.
    """

    def __init__(
        self,
        sock: socket.socket,
        secret: bytes,
        alive: Callable[[], bool] = lambda: True,
        segment: Segment | None = None,
    ) -> None:
        self._sock = sock
        self._secret = secret
        self._alive = alive
        self._segment = segment

    def send(self, message: Message, sequence: int, deadline: float | None = None) -> None:
        """Send one message; ``deadline`` is a time of ``time.monotonic``."""
        for buffer in encode(message, self._secret, sequence, self._segment):
            self._send_all(buffer, deadline)

    def receive(self, sequence: int, deadline: float | None = None, max_payload: int = MAX_PAYLOAD_BYTES) -> Message:
        """Wait for message number ``sequence`` and validate it."""
        return decode(
            lambda count: self._read_exactly(count, deadline), self._secret, sequence, max_payload, self._segment
        )

    def frame(self, height: int, width: int) -> NDArray[np.uint8] | None:
        """Return H x W x 3, uint8, in the shared memory, to be filled and sent at once; None where there is no room."""
        return None if self._segment is None else self._segment.frame(height, width)

    def close(self) -> None:
        """Close this end."""
        self._sock.close()
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _send_all(self, buffer: memoryview, deadline: float | None) -> None:
        while buffer:
            self._wait(deadline)
            try:
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
            if not received:
                raise ChannelClosed
            view = view[received:]
        return data

    def _wait(self, deadline: float | None) -> None:
        left = _SLICE_S if deadline is None else min(_SLICE_S, deadline - time.monotonic())
        if left <= 0:
            raise DeadlinePassed
        self._sock.settimeout(left)

    def _require_alive(self) -> None:
        if not self._alive():
            raise ChannelClosed("the process ended")
