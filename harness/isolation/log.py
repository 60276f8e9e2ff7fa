"""What a submission prints: read without end, kept within bounds."""

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

_CHUNK = 1 << 16
_PATIENCE_S = 0.5  # what goes on printing, such as an orphan, is not waited for


class LogCapture:
    """Reads a pipe to its end and keeps the beginning and the end of what came through.

    A thread reads, so that a writer never blocks and a flood costs neither disk nor memory.

    Parameters
    ----------
    keep_bytes
        How much of the beginning and how much of the end is kept.
    """

    def __init__(self, keep_bytes: int = 256 << 10) -> None:
        self._keep = keep_bytes
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._total = 0
        self._lock = threading.Lock()
        self._reader, self.writer = os.pipe()
        self._thread = threading.Thread(target=self._read, name="submission log", daemon=True)

    def start(self) -> None:
        """Begin to read; the writing end belongs to the child process from now on and is closed here."""
        os.close(self.writer)
        self._thread.start()

    def finish(self, timeout_s: float = 2.0) -> None:
        """Wait until the writers have closed the pipe, at most `timeout_s`."""
        self._thread.join(timeout_s)

    def text(self) -> str:
        """Return what was kept, with a line that says how much is missing in between."""
        self._catch_up()
        with self._lock:
            missing = self._total - len(self._head) - self._tail_bytes
            parts = [bytes(self._head), *self._tail]
        if missing:
            parts.insert(1, f"\n[... {missing} bytes not kept ...]\n".encode())
        return b"".join(parts).decode(errors="replace")

    def tail(self, characters: int = 4000) -> str:
        """Return the end of what was printed."""
        self._catch_up()
        with self._lock:
            whole = self._total == len(self._head) + self._tail_bytes
            end = b"".join([bytes(self._head) if whole else b"", *self._tail])
        return end.decode(errors="replace")[-characters:]

    def save(self, path: Path, process: int = 0) -> None:
        """Write what was kept to `path`; what any but the first process printed is added, under a heading."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if process else "w", encoding="utf-8") as file:
            file.write(f"\n--- process {process + 1} ---\n" * bool(process) + self.text())

    def _read(self) -> None:
        arrives = select.poll()
        arrives.register(self._reader, select.POLLIN)
        while True:
            arrives.poll()
            with self._lock:  # around the reading too: what has left the pipe is kept
                chunk = os.read(self._reader, _CHUNK)
                if not chunk:
                    os.close(self._reader)
                    self._reader = -1
                    return
                self._add(chunk)

    def _catch_up(self) -> None:
        """Wait until what was printed before now is read: on a busy machine the thread may be late."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._waiting_bytes() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _waiting_bytes(self) -> int:
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
        while self._tail and self._tail_bytes - len(self._tail[0]) >= self._keep:
            self._tail_bytes -= len(self._tail.popleft())
