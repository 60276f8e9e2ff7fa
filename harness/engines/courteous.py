"""Workers that are paused while another device of their machine times networks."""

from __future__ import annotations

from contextlib import suppress

from harness.engines.engine import Opener
from harness.isolation.exchange import Exchange
from harness.isolation.job import Job
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.machine.quiet import QUIET_HOURS


class WorkStopped(BaseException):  # not an Exception, so that handlers of failed submissions do not catch it
    """The run ends, so nothing more is asked of any worker."""


class CourteousEngine:
    """Opens sessions whose requests wait while a network is timed on this machine, and that are paused meanwhile.

    The thread that times is not held up, see :class:`harness.machine.quiet.QuietHours`.

    Parameters
    ----------
    engine
        What starts the workers.
    """

    def __init__(self, engine: Opener) -> None:
        self.name = engine.name
        self._engine = engine
        self._open: dict[int, Exchange] = {}
        self._stopped = False

    def open(self, job: Job) -> Session:
        """Start a worker, after any timing in progress."""
        with QUIET_HOURS.work():
            self.require_running()
            session = self._engine.open(job)
            # Put between the session and the worker, so that every request passes through it.
            polite = CourteousExchange(session.exchange, self)
            self._open[id(polite)] = session.exchange
            QUIET_HOURS.silence(id(polite), session.exchange.pause)
            session.exchange = polite
        return session

    def stop(self) -> None:
        """End every worker at once, and refuse further requests; called from another thread."""
        self._stopped = True
        # A copy, because other threads open and close workers meanwhile.
        for exchange in list(self._open.values()):
            with suppress(Exception):  # all of them, also if one cannot be closed
                exchange.close()

    def require_running(self) -> None:
        """Raise WorkStopped after :meth:`stop`."""
        if self._stopped:
            raise WorkStopped

    def closed(self, polite: CourteousExchange) -> None:
        """Forget a worker that has ended."""
        QUIET_HOURS.forget(id(polite))
        self._open.pop(id(polite), None)


class CourteousExchange:
    """The transport to one worker of a :class:`CourteousEngine`."""

    def __init__(self, exchange: Exchange, engine: CourteousEngine) -> None:
        self.isolation = exchange.isolation
        self._exchange = exchange
        self._engine = engine

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Send a request when nothing is timed by others, and return the reply."""
        with QUIET_HOURS.work():
            self._engine.require_running()
            reply = self._exchange.request(message, timeout_s, max_payload)
        # `stop` may have been called during the request.
        self._engine.require_running()
        return reply

    def log_tail(self) -> str:
        """Return the end of the submission's output."""
        return self._exchange.log_tail()

    def alive(self) -> bool:
        """Return whether the worker still runs."""
        return self._exchange.alive()

    def pause(self) -> None:
        """Stop the worker until the next request."""
        self._exchange.pause()

    def cpu_s(self) -> float | None:
        """Return the CPU time of the worker, seconds."""
        return self._exchange.cpu_s()

    def let_run(self) -> bool:
        """Continue the worker without a request."""
        with QUIET_HOURS.work():
            return self._exchange.let_run()

    def close(self) -> None:
        """End the worker."""
        with QUIET_HOURS.work():
            self._engine.closed(self)
            self._exchange.close()
