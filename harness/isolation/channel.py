"""A connected socket that carries frames, with deadlines on both directions."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from harness.isolation.messages import (
    MAX_PAYLOAD_BYTES,
    ChannelClosed,
    DeadlinePassed,
    Message,
    decode,
    encode,
)

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
    """

    def __init__(self, sock: socket.socket, secret: bytes, alive: Callable[[], bool] = lambda: True) -> None:
        self._sock = sock
        self._secret = secret
        self._alive = alive

    def send(self, message: Message, sequence: int, deadline: float | None = None) -> None:
        """Send one message; ``deadline`` is a time of ``time.monotonic``."""
        for buffer in encode(message, self._secret, sequence):
            self._send_all(buffer, deadline)

    def receive(self, sequence: int, deadline: float | None = None, max_payload: int = MAX_PAYLOAD_BYTES) -> Message:
        """Wait for message number ``sequence`` and validate it."""
        return decode(lambda count: self._read_exactly(count, deadline), self._secret, sequence, max_payload)

    def close(self) -> None:
        """Close this end."""
        self._sock.close()

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
