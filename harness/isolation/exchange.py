"""Requests and replies between the controller and the place where a submission runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import WorkerError
from harness.isolation.launcher import Worker, describe_end
from harness.isolation.messages import Array, ChannelClosed, DeadlinePassed, Message, ProtocolError
from harness.isolation.processes import continue_tree, cpu_seconds, process_tree, stop_tree
from harness.isolation.requests import Body, ErrorReply
from harness.text import printable

ReplyT = TypeVar("ReplyT", bound=BaseModel)

_GRACE_S = 2.0  # for a worker to end by itself


class Exchange(Protocol):
    """Carries one request to where a submission runs and brings the reply back."""

    isolation: str
    """What the submission is confined by, in words for the report."""

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Return the reply; raises WorkerError."""
        ...

    def log_tail(self) -> str:
        """Return the last of what the submission printed."""
        ...

    def alive(self) -> bool:
        """Tell whether it still runs."""
        ...

    def pause(self) -> None:
        """Stop it until the next request."""
        ...

    def cpu_s(self) -> float | None:
        """Return the processor time that it took so far, seconds; None where nobody can tell."""
        ...

    def idle_cores(self, settling_s: float, length_s: float) -> float | None:
        """Let it go without giving it work, and return how many cores it keeps busy; None where nobody can tell."""
        ...

    def close(self) -> None:
        """End it and release everything."""
        ...


class WorkerExchange:
    """Requests and replies over a worker's channel; kills the worker where it crashes, hangs or misbehaves."""

    def __init__(self, worker: Worker, isolation: str, log_path: Path | None = None, process: int = 0) -> None:
        self.isolation = isolation
        self._worker = worker
        self._log_path = log_path
        self._process = process
        self._sequence = 0
        self._dead: str | None = None
        self._asked = False
        self._paused: list[int] = []

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Return the reply; raises WorkerError."""
        stage = message.name
        if self._dead:
            raise WorkerError(self._dead, stage=stage, kind="Crash", log=self.log_tail())
        self._asked = True
        self._resume()
        deadline = time.monotonic() + timeout_s
        try:
            self._worker.channel.send(message, self._sequence, deadline)
            reply = self._worker.channel.receive(self._sequence, deadline, max_payload)
        except DeadlinePassed:
            self._fail(stage, "Timeout", f"no answer within {timeout_s:g} s")
        except ChannelClosed:
            self._worker.wait(_GRACE_S)
            self._crashed(stage)
        except ProtocolError as error:
            self._fail(stage, error.kind, error.what)
        self._sequence += 1
        return reply

    def log_tail(self) -> str:
        """Return the last of what the submission printed."""
        return printable(self._worker.log.tail(), 8000, keep_end=True)

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._dead is None and self._worker.alive()

    def pause(self) -> None:
        """Stop the worker and all that it started until the next request."""
        if self._dead is None:
            self._paused = stop_tree(self._worker.process.pid)

    def cpu_s(self) -> float | None:
        """Return the processor time of the worker and of all its descendants, seconds."""
        return cpu_seconds(process_tree(self._worker.process.pid))

    def idle_cores(self, settling_s: float, length_s: float) -> float | None:
        """Let the worker go without a request, and return how many cores it keeps busy; it is stopped afterwards."""
        if self._dead is not None:
            return None
        self._resume()
        time.sleep(settling_s)
        tree = process_tree(self._worker.process.pid)
        before, begin = cpu_seconds(tree), time.monotonic()
        time.sleep(length_s)
        after, spent = cpu_seconds(tree), time.monotonic() - begin
        self.pause()
        return None if before is None or after is None else max(0.0, after - before) / spent

    def _resume(self) -> None:
        continue_tree(self._paused)
        self._paused = []

    def close(self) -> None:
        """Kill the worker with all that it started, and save its log."""
        # Not asked to end by itself: it would leave behind what it detached from itself.
        if self._dead is None:
            self._worker.kill()
        if self._log_path is not None and self._asked:  # what was never used has nothing to say
            with contextlib.suppress(OSError):  # a full disk: what is measured is worth an error, a log is not
                self._worker.log.save(self._log_path, self._process)

    def _crashed(self, stage: str) -> NoReturn:
        excess = self._worker.excess()
        if excess is not None:
            self._fail(stage, *excess)
        self._fail(stage, "Crash", f"the process {describe_end(self._worker.process.poll())}")

    def _fail(self, stage: str, kind: str, what: str) -> NoReturn:
        self._worker.kill()
        self._dead = f"the worker is gone: {what}"
        raise WorkerError(what, stage=stage, kind=kind, log=self.log_tail())


@dataclass(frozen=True, slots=True)
class CheckedExchange:
    """Sends requests through an exchange and accepts valid replies only.

    Every method raises WorkerError, with the stage and the end of the submission's log.

    Attributes
    ----------
    exchange
        What carries the requests.
    timeout_s
        How long a reply may take, unless a request is given more.
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
        """Return the fields of a reply without arrays; it may take `extra_s` seconds beyond the usual deadline."""
        return self.validate(name, self.send(name, request, arrays, extra_s, max_payload=0), reply)

    def send(self, name: str, request: Body, arrays: Sequence[Array], extra_s: float, max_payload: int) -> Message:
        """Return a reply to the request, whose arrays have at most `max_payload` bytes; its fields are not checked."""
        message = Message(name, request.model_dump(mode="json"), tuple(arrays))
        reply = self.exchange.request(message, self.timeout_s + extra_s, max_payload)
        if reply.name == "error":
            stage = "time" if name == "output" else name  # outputs are asked for to judge the timing
            self._raise(stage, self.validate(name, reply, ErrorReply))
        if reply.name != name:
            self.refuse(name, f"a reply to {reply.name!r}")
        return reply

    def validate(self, stage: str, message: Message, kind: type[ReplyT]) -> ReplyT:
        """Return the fields of a reply, which must be those of `kind`."""
        try:
            return kind.model_validate(message.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self.refuse(stage, f"{place}: {first['msg']}")

    def _raise(self, stage: str, error: ErrorReply) -> NoReturn:
        log = "\n".join(part for part in (self.exchange.log_tail().rstrip(), error.traceback) if part)
        # Again, because a worker may send what `describe` would not.
        kind, message = printable(error.type, 100), printable(error.message, 2000)
        raise WorkerError(message, stage=stage, kind=kind, log=printable(log, 8000, keep_end=True))

    def refuse(self, stage: str, what: str) -> NoReturn:
        """Raise the error of a worker that sent `what`."""
        raise WorkerError(
            f"the worker sent {printable(what, 500)}",
            stage=stage,
            kind="ProtocolError",
            log=printable(self.exchange.log_tail(), 8000, keep_end=True),
        )
