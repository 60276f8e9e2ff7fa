"""Exchange requests and replies with a worker, and validate the replies."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.delays import DelayReading
from harness.isolation.launcher import Worker, describe_end
from harness.isolation.messages import Array, ChannelClosed, DeadlinePassed, Message, ProtocolError
from harness.isolation.processes import continue_tree, cpu_seconds, process_tree
from harness.isolation.requests import Body, ErrorReply
from harness.isolation.stopping import stop_and_wait
from harness.text import printable, printable_json

ReplyT = TypeVar("ReplyT", bound=BaseModel)

_MAX_OVERTIME_S = 0.1  # processor time after signals to stop, in sum
_STOPPING_S = 0.01  # of it for each signal are not counted: a thread that runs stops at the kernel's next tick
_EXIT_TIMEOUT_S = 2.0  # wait for the exit status of a worker that closed its channel


class Exchange(Protocol):
    """Transport of requests to the process in which a submission runs."""

    isolation: str
    """Description of the isolation, shown in the report."""

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Send a request and return the reply; raises WorkerError."""
        ...

    def log_tail(self) -> str:
        """Return the end of the submission's output."""
        ...

    def alive(self) -> bool:
        """Return whether the process still runs."""
        ...

    def pause(self) -> None:
        """Stop the process until the next request."""
        ...

    def cpu_s(self) -> float | None:
        """Return the CPU time used so far, seconds; None if unknown."""
        ...

    def let_run(self) -> bool:
        """Continue the process without a request; return whether :meth:`cpu_s` then is its own processor time."""
        ...

    def close(self) -> None:
        """End the process and release all resources."""
        ...


class WorkerExchange:
    """Transport over the channel of a worker process, which is killed if it crashes, times out or breaks the protocol.

    Parameters
    ----------
    worker
        Running worker. The exchange takes ownership.
    isolation
        Description of the isolation.
    log_path
        File for the submission's output; None to discard it.
    process
        Index of this worker among those of the submission, from 0.
    """

    def __init__(self, worker: Worker, isolation: str, log_path: Path | None = None, process: int = 0) -> None:
        self.isolation = isolation
        self._worker = worker
        self._log_path = log_path
        self._process = process
        self._sequence = 0
        self._ending = threading.Lock()
        self._is_killed = False
        self._failure: tuple[str, str] | None = None  # kind and message of the error with which it ended
        self._used = False
        self._paused: list[int] = []  # the process tree while it is stopped, when it cannot change; else empty
        self._timed: list[int] = []  # the process tree at the end of a timing request that nothing has followed
        self._overtime_s = 0.0

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Send a request and return the reply.

        Raises
        ------
        WorkerError
            The worker has ended, did not reply within `timeout_s` seconds, or sent an invalid frame.
        """
        stage = message.name
        if self._failure is not None:
            kind, what = self._failure
            raise WorkerError(f"the worker has ended: {what}", stage=stage, kind=kind, log=self.log_tail())
        self._used = True
        if self._overtime_s > _MAX_OVERTIME_S:
            # The request that comes next is not to blame: this spoils the timing of other networks.
            self._fail(
                "time", DISQUALIFIED, f"it kept a processor busy for {self._overtime_s:.2g} s after it was stopped"
            )
        tree = self._tree() if message.is_judged else []
        self._resume()
        deadline = time.monotonic() + timeout_s
        channel = self._worker.channel
        before = DelayReading.now(tree, self._worker.helpers) if message.is_judged else None
        begin_s = time.monotonic()  # within the time between the two readings, which thereby cover all delays
        try:
            channel.take_marks()  # discards what submitted code may have sent meanwhile
            channel.send(message, self._sequence, deadline)
            reply = channel.receive(self._sequence, deadline, max_payload)
            wall_s = time.monotonic() - begin_s
            marks = channel.take_marks()
        except DeadlinePassed:
            self._fail(stage, "Timeout", f"no answer within {timeout_s:g} s")
        except ChannelClosed:
            self._worker.wait(_EXIT_TIMEOUT_S)
            self._crashed(stage)
        except ProtocolError as error:
            self._fail(stage, error.kind, error.what)
        self._sequence += 1
        if before is None:
            return replace(reply, marks=marks)
        # Read anew, because the request may have created processes; their time is not that of other programs.
        self._timed = self._tree()
        after = DelayReading.now(self._timed, self._worker.helpers)
        return replace(reply, marks=marks, wall_s=wall_s, delay_s=before.delay_s(after))

    def _tree(self) -> list[int]:
        """Return the worker and all its descendants."""
        # Reading them takes time between the turns of networks, so it is not repeated while none of them can change.
        return self._paused or process_tree(*self._worker.roots)

    def log_tail(self) -> str:
        """Return the end of the submission's output."""
        return printable(self._worker.log.tail(), 8000, keep_end=True)

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._failure is None and self._worker.alive()

    def pause(self) -> None:
        """Stop the worker and all its descendants until the next request, and wait until all of them have stopped."""
        if self._failure is None:
            stopped = stop_and_wait(*self._worker.roots, known=self._timed)
            self._paused, self._timed = stopped.pids, []
            self._worker.watcher.is_stopped = True
            self._overtime_s += max(0.0, stopped.overtime_s - _STOPPING_S)

    def cpu_s(self) -> float | None:
        """Return the CPU time of the worker and all its descendants, seconds; None if unknown."""
        return cpu_seconds(self._tree())

    def let_run(self) -> bool:
        """Continue the worker without a request; return whether it still lives."""
        if self._failure is not None:
            return False
        self._resume()
        return True

    def _resume(self) -> None:
        self._worker.watcher.is_stopped = False
        continue_tree(self._paused)
        self._paused, self._timed = [], []

    def close(self) -> None:
        """Kill the worker with all its descendants and save its log."""
        # Killed instead of asked to exit: after an exit, processes that it detached would continue to run.
        self._kill()
        if self._log_path is not None and self._used:  # a prefetched worker that was never used has no log
            with contextlib.suppress(OSError):  # a log that cannot be written, for example to a full disk, is no error
                self._worker.log.save(self._log_path, self._process)

    def _crashed(self, stage: str) -> NoReturn:
        excess = self._worker.excess()
        if excess is not None:
            self._fail(stage, *excess)
        self._fail(stage, "Crash", f"the process {describe_end(self._worker.process.poll())}")

    def _kill(self) -> None:
        """End the worker, once: a thread whose request fails because another one closes this exchange comes second."""
        with self._ending:
            if not self._is_killed:
                self._is_killed = True
                self._worker.kill()

    def _fail(self, stage: str, kind: str, what: str) -> NoReturn:
        self._kill()
        self._failure = kind, what
        raise WorkerError(what, stage=stage, kind=kind, log=self.log_tail())


@dataclass(frozen=True, slots=True)
class CheckedExchange:
    """Sends requests through an exchange and validates the replies.

    Every method raises WorkerError, with the stage and the end of the submission's log.

    Attributes
    ----------
    exchange
        Transport of the requests.
    timeout_s
        Time limit for a reply, seconds, unless a request allows more.
    """

    exchange: Exchange
    timeout_s: float

    def ask(
        self,
        name: str,
        request: Body,
        reply: type[ReplyT],
        arrays: Sequence[Array] = (),
        *,
        extra_s: float = 0.0,
    ) -> ReplyT:
        """Send a request and return the reply, which must have no arrays. `extra_s` seconds extend the time limit."""
        return self.validate(name, self.send(name, request, arrays, extra_s, max_payload=0), reply)

    def send(
        self, name: str, request: Body, arrays: Sequence[Array], extra_s: float, max_payload: int, stage: str = ""
    ) -> Message:
        """Send a request and return the reply with at most `max_payload` array bytes. Its fields are not validated.

        Errors carry `stage`, by default the name of the request. For the stage "time", the reply states how long
        other programs may have delayed the request.
        """
        message = Message(name, request.model_dump(mode="json"), tuple(arrays), is_judged=(stage or name) == "time")
        try:
            reply = self.exchange.request(message, self.timeout_s + extra_s, max_payload)
        except WorkerError as error:
            if error.kind != DISQUALIFIED:  # for what it did before this request
                error.stage = stage or error.stage
            raise
        if reply.name == "error":
            self._raise(stage or name, self.validate(stage or name, reply, ErrorReply))
        if reply.name != name:
            self.refuse(stage or name, f"a reply to {reply.name!r}")
        return reply

    def validate(self, stage: str, message: Message, kind: type[ReplyT]) -> ReplyT:
        """Validate the fields of a reply against `kind` and return them."""
        try:
            # Texts of a reply go to the terminal and into the report, so they are sanitized first.
            return kind.model_validate(printable_json(message.body))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self.refuse(stage, f"{place}: {first['msg']}")

    def _raise(self, stage: str, error: ErrorReply) -> NoReturn:
        log = "\n".join(part for part in (self.exchange.log_tail().rstrip(), error.traceback) if part)
        # Sanitized again, because submitted code may have sent the reply in place of `harness.isolation.failures`.
        kind, message = printable(error.type, 100), printable(error.message, 2000)
        raise WorkerError(message, stage=stage, kind=kind, log=printable(log, 8000, keep_end=True))

    def refuse(self, stage: str, what: str) -> NoReturn:
        """Raise WorkerError for a worker that sent the invalid content `what`."""
        raise WorkerError(
            f"the worker sent {printable(what, 500)}",
            stage=stage,
            kind="ProtocolError",
            log=printable(self.exchange.log_tail(), 8000, keep_end=True),
        )
