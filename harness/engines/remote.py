"""Sessions whose workers run on another machine: both ends of the transport.

A trusted process on that machine holds the worker and its sandbox. Requests travel to it and replies back; each is
checked by the controller as that of a local worker is.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.engines.engine import Opener, Shared
from harness.errors import HarnessError
from harness.isolation.exchange import Exchange
from harness.isolation.job import Job
from harness.isolation.messages import Message
from harness.isolation.requests import LoadRequest
from harness.submissions.parcel import Parcel, unpack
from harness.submissions.submission import Submission


@dataclass(frozen=True, slots=True)
class Opened:
    """A worker that was started on another machine.

    Attributes
    ----------
    key
        Names it there.
    isolation
        What it is confined by.
    request
        What loads its submission, with the paths of that machine.
    """

    key: str
    isolation: str
    request: LoadRequest


@dataclass(frozen=True, slots=True)
class _Held:
    exchange: Exchange
    log: Path


# Workers of this process for controllers on other machines, by the key that they were given.
_HELD: dict[str, _Held] = {}


def open_here(engine: Opener, job: Job, parcel: Shared[Parcel] | None, content: str) -> Opened:
    """Start a worker on this machine for a controller on another one.

    Parameters
    ----------
    engine
        Starts workers on this machine.
    job
        What the controller asks for.
    parcel
        Files of the submission; None if it is an installed package.
    content
        Hash of them, by which they are laid out once.
    """
    if parcel is not None:
        assert isinstance(job.submission, Submission)
        folder = sent_folder() / content
        # Several threads may do this at once: `unpack` renames a complete folder into place.
        if not folder.is_dir():
            unpack(parcel.get(), folder)
        job = replace(job, submission=replace(job.submission, root=folder))
    # The job's own path is one of the controller's machine.
    log = Path(tempfile.mkdtemp(prefix="sr-harness-log-")) / "log"
    session = engine.open(replace(job, log_path=log))
    key = secrets.token_hex(8)
    _HELD[key] = _Held(session.exchange, log)
    return Opened(key, session.exchange.isolation, session.job)


def call_here(key: str, method: str, *arguments: Any) -> Any:
    """Call a method of the transport to a worker of this machine."""
    return getattr(_HELD[key].exchange, method)(*arguments)


def close_here(key: str) -> bytes:
    """End a worker of this machine and return its log."""
    held = _HELD.pop(key)
    held.exchange.close()
    content = held.log.read_bytes() if held.log.is_file() else b""
    shutil.rmtree(held.log.parent, ignore_errors=True)
    return content


@cache
def sent_folder() -> Path:
    """Return the folder of the submissions that were sent to this process."""
    folder = Path(tempfile.mkdtemp(prefix="sr-harness-sent-"))
    folder.chmod(0o755)  # workers may be other users
    return folder


class RemoteExchange:
    """The controller's end of the transport to a worker of another machine.

    Parameters
    ----------
    executor
        Calls functions in the trusted process of that machine.
    opened
        The worker.
    job
        As the controller asked for it.
    """

    def __init__(self, executor: Executor, opened: Opened, job: Job) -> None:
        self.isolation = opened.isolation
        self._executor = executor
        self._key = opened.key
        self._job = job

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Send a request and return the reply."""
        reply = self._call("request", message, timeout_s, max_payload)
        assert isinstance(reply, Message)
        return reply

    def log_tail(self) -> str:
        """Return the end of the submission's output."""
        return str(self._call("log_tail"))

    def alive(self) -> bool:
        """Return whether the worker, and its machine, still run."""
        try:
            return bool(self._call("alive"))
        except HarnessError:
            return False

    def pause(self) -> None:
        """Stop the worker until the next request."""
        self._call("pause")

    def cpu_s(self) -> float | None:
        """Return the CPU time of the worker, seconds."""
        seconds: float | None = self._call("cpu_s")
        return seconds

    def let_run(self) -> bool:
        """Continue the worker without a request."""
        return bool(self._call("let_run"))

    def close(self) -> None:
        """End the worker, and save its log on this machine."""
        with suppress(HarnessError):  # with its machine, a worker has ended
            content = self._executor.submit(close_here, self._key).result()
            if self._job.log_path is not None and content:
                with suppress(OSError):
                    self._job.log_path.parent.mkdir(parents=True, exist_ok=True)
                    # Later processes of a submission append to the log of the first.
                    with self._job.log_path.open("ab" if self._job.process else "wb") as stream:
                        stream.write(content)

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._executor.submit(call_here, self._key, method, *arguments).result()
