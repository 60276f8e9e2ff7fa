"""Start workers by forking a process that has imported torch, which takes a worker seconds otherwise.

A fork server (``harness.worker.forking``) has imported what workers need and nothing else: it reads no submission and
no image, and no submission's code runs in it. Each worker is forked from that state, so that nothing of an earlier
submission is in its memory, and is then confined as one that is executed: by the namespaces of a sandbox that was
started for it alone, or by a user and folders of its own, and by the same limits and the same system call filter.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.isolation.environment import worker_environment
from harness.isolation.fork_settings import ForkSettings

SERVERS = 3
"""Number of fork servers: as many as a network has processes in which it is timed. All processes that are forked from
one server have the same layout of memory, on which times depend; those of one network come from different servers."""

_START_S = 120.0  # a server that imports torch on a crowded machine
_POLL_S = 0.001
_MAX_FAILURES = 3


class ForkError(Exception):
    """A worker cannot be forked; it has to be executed instead."""


class Process(Protocol):
    """The part of ``subprocess.Popen`` that handles of workers have in common."""

    @property
    def pid(self) -> int: ...  # noqa: D102
    def poll(self) -> int | None: ...  # noqa: D102
    def wait(self, timeout: float | None = None) -> int: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102


class ForkedProcess:
    """Handle of a forked worker.

    Its parent waits for it in a process that the fork server forked as well, and reports how it ended.

    Parameters
    ----------
    pid
        Process id of the parent of the worker.
    reader
        File descriptor to which the parent writes the status of the worker. The handle takes ownership.
    """

    def __init__(self, pid: int, reader: int) -> None:
        self.pid = pid
        self._reader = reader
        self._text = b""
        self._returncode: int | None = None
        self._lock = threading.Lock()  # a worker's own thread of the controller may wait for it while another ends it

    def poll(self) -> int | None:
        """Return the status of the worker, as of ``Popen.poll``, or None if it still runs."""
        with self._lock:
            while self._returncode is None and select.select([self._reader], [], [], 0)[0]:
                # The parent writes the status just before it exits, so the text is complete at the end of the pipe.
                part = os.read(self._reader, 64)
                self._text += part
                if not part:  # the parent has ended: it was killed if it did not report
                    words = self._text.split()
                    self._returncode = int(words[0]) if words else -signal.SIGKILL
                    os.close(self._reader)
            return self._returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the worker, as ``Popen.wait`` does."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = _POLL_S if end is None else end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            time.sleep(min(left, _POLL_S))  # not `select`: another thread may close the descriptor
        return code

    def kill(self) -> None:
        """Kill the parent of the worker, and thereby the worker."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class ForkServer:
    """The controller's end of one fork server. It ends with the controller, or when its end is closed.

    Parameters
    ----------
    threads
        Number of CPU threads of the workers; libraries read it when they are imported.
    """

    def __init__(self, threads: int) -> None:
        # SEQPACKET keeps message boundaries, so that each request arrives in one piece with its descriptors.
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The server writes no files; each worker gets its own environment from `ForkSettings`.
        environment = worker_environment(threads=threads, private=Path("/nonexistent"), device="cpu")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.worker.forking", "--fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, settings: ForkSettings, descriptors: Sequence[int]) -> ForkedProcess:
        """Fork a worker.

        Parameters
        ----------
        settings
            Its settings.
        descriptors
            File descriptors of its end of the channel, of its log, of the shared memory and of the sandbox, the latter
            two as `settings` says.

        Raises
        ------
        ForkError
            The server has ended, or the worker could not be confined.
        """
        reader, writer = os.pipe()
        try:
            socket.send_fds(self._socket, [settings.to_json()], [*descriptors, writer])
        except OSError as error:
            os.close(reader)
            raise ForkError(f"the fork server has ended: {error}") from error
        finally:
            # With no copy left here, the pipe ends when the worker's parent does, which `ForkedProcess` relies on.
            os.close(writer)
        word, _, rest = _first_line(reader, time.monotonic() + _START_S).partition(b" ")
        if word != b"started":
            os.close(reader)
            raise ForkError(rest.decode(errors="replace") or "the fork server has ended")
        return ForkedProcess(int(rest), reader)

    def close(self) -> None:
        """End the server, and with it its workers."""
        self._socket.close()
        self.process.kill()  # it may still be importing
        self.process.wait()


def _first_line(reader: int, deadline: float) -> bytes:
    """Return the first line that a descriptor receives, or what came until its end or the deadline."""
    text = b""
    while not text.endswith(b"\n"):  # byte by byte: what follows is the handle's
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(reader, 1) if ready else b""
        if not part:
            break
        text += part
    return text.rstrip(b"\n")


class ForkServers:
    """The fork servers of this process, started when they are first needed.

    After three failures, one after the other, workers are executed from then on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[int, int], ForkServer] = {}
        self._owner = os.getpid()
        self._failures = 0
        self.problem = _unsupported()
        """Why workers are not forked; None if they are, or none was started yet."""

    def fork(self, settings: ForkSettings, descriptors: Sequence[int], threads: int, process: int) -> ForkedProcess:
        """Fork a worker from the server for the `process`-th worker of a submission; raises :class:`ForkError`."""
        try:
            worker = self._server(threads, process).fork(settings, descriptors)
        except ForkError as error:
            self._failures += 1
            if self._failures >= _MAX_FAILURES:
                self.problem = str(error)
            raise
        self._failures = 0
        return worker

    def prepare(self, threads: int) -> None:
        """Let the server for first workers import what it needs, before one is asked for."""
        with contextlib.suppress(ForkError, OSError):  # whoever asks for a worker is told
            self._server(threads, 0)

    def close(self) -> None:
        """End all servers of this process."""
        with self._lock:
            # A fork of this process inherits the table and `atexit`, but must not end the servers of its parent.
            for server in self._running.values() if self._owner == os.getpid() else ():
                server.close()
            self._running = {}

    def _server(self, threads: int, process: int) -> ForkServer:
        with self._lock:
            if self.problem is not None:
                raise ForkError(self.problem)
            if self._owner != os.getpid():  # a fork of the process to which the servers belong
                self._running, self._owner = {}, os.getpid()
            key = (threads, process % SERVERS)
            server = self._running.get(key)
            if server is not None and server.process.poll() is not None:
                server.close()
                server = None
            self._running[key] = server or ForkServer(threads)
            return self._running[key]


def _unsupported() -> str | None:
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        # setns accepts a pidfd since Linux 5.8. Without it, a fork into a sandbox fails and the worker is executed.
        return "forking needs Linux 5.8"
    return None


SERVERS_OF_THIS_PROCESS = ForkServers()
atexit.register(SERVERS_OF_THIS_PROCESS.close)
