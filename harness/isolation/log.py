"""Capture the output of a submission in bounded memory."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios
import threading
import time
from collections import deque
from pathlib import Path

from harness.isolation.helper_thread import HelperThread

# Default capacity of a pipe on Linux.
_CHUNK = 1 << 16


class LogCapture:
    """Reads a pipe until it is closed and keeps the first and the last bytes.

    A thread reads continuously, so that the writer never blocks and unlimited output uses neither disk nor memory.

    Parameters
    ----------
    keep_bytes
        Number of bytes to keep of the beginning, and of the end.
    catch_up_s
        Longest wait for output that is still in the pipe, seconds. A process that keeps printing never lets it drain.
    """

    def __init__(self, keep_bytes: int = 256 << 10, catch_up_s: float = 0.5) -> None:
        self._keep = keep_bytes
        self._catch_up_s = catch_up_s
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._total = 0
        self._lock = threading.Lock()
        self._reader, self.writer = os.pipe()
        self.thread = HelperThread(target=self._read, name="submission log", daemon=True)
        """The thread that reads."""

    def start(self) -> None:
        """Start reading. Close the writing end here, so that the pipe ends when the child process closes its copy."""
        os.close(self.writer)
        self.thread.start()

    def finish(self, timeout_s: float = 2.0) -> None:
        """Wait at most `timeout_s` seconds until all writers have closed the pipe."""
        self.thread.join(timeout_s)

    def text(self) -> str:
        """Return the kept output, with a line that states how many bytes are missing in the middle."""
        self._catch_up()
        with self._lock:
            missing = self._total - len(self._head) - self._tail_bytes
            parts = [bytes(self._head), *self._tail]
        if missing:
            parts.insert(1, f"\n[... {missing} bytes omitted ...]\n".encode())
        return b"".join(parts).decode(errors="replace")

    def tail(self, characters: int = 4000) -> str:
        """Return the last `characters` characters of the output."""
        self._catch_up()
        with self._lock:
            whole = self._total == len(self._head) + self._tail_bytes
            end = b"".join([bytes(self._head) if whole else b"", *self._tail])
        return end.decode(errors="replace")[-characters:]

    def save(self, path: Path, process: int = 0) -> None:
        """Write the kept output to `path`; for any but the first `process`, append it under a heading."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if process else "w", encoding="utf-8") as file:
            # Repeated 0 times for the first process, so that its log has no heading.
            file.write(f"\n--- process {process + 1} ---\n" * bool(process) + self.text())

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        while True:
            poll.poll()
            # The lock covers the read as well: `_waiting_bytes` must not see an empty pipe before its bytes are kept.
            with self._lock:
                chunk = os.read(self._reader, _CHUNK)
                if not chunk:
                    os.close(self._reader)
                    self._reader = -1
                    return
                self._add(chunk)

    def _catch_up(self) -> None:
        """Wait until the thread has read what is in the pipe; on a busy machine it may lag behind."""
        deadline = time.monotonic() + self._catch_up_s
        while self._waiting_bytes() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _waiting_bytes(self) -> int:
        """Return the number of bytes in the pipe that have not been read."""
        waiting = array.array("i", [0])
        with self._lock:
            if self._reader >= 0:
                fcntl.ioctl(self._reader, termios.FIONREAD, waiting)
        return waiting[0]

    def _add(self, chunk: bytes) -> None:
        self._total += len(chunk)
        room = self._keep - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._tail.append(chunk)
            self._tail_bytes += len(chunk)
        # Whole chunks are dropped, and only while the remaining ones still have the bytes to keep.
        while self._tail and self._tail_bytes - len(self._tail[0]) >= self._keep:
            self._tail_bytes -= len(self._tail.popleft())
