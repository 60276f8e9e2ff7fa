"""Workers that are started before they are needed: importing torch takes seconds, on an accelerator five."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress

from harness.engines.courteous import WorkStopped
from harness.engines.engine import Opener
from harness.errors import HarnessError
from harness.isolation.job import Job
from harness.isolation.session import Session
from harness.machine.available_cores import available_cores

_CORES_EACH = 4
_MOST = 4


class PrefetchingEngine:
    """An engine that starts the next workers while another is prepared.

    Parameters
    ----------
    engine
        What starts them.
    most
        How many may wait; by default one for every four cores, between one and four.
    """

    def __init__(self, engine: Opener, most: int | None = None) -> None:
        self.name = engine.name
        self._engine = engine
        self._most = max(1, min(_MOST, available_cores() // _CORES_EACH)) if most is None else most
        self._to_come: deque[Job] = deque()
        self._waiting: list[tuple[Job, Session]] = []
        # Sessions that still run, also those that were handed out: `close` ends them.
        self._opened: list[Session] = []
        self._held = False
        self._own_work: threading.Thread | None = None  # the last; each waits for the one before
        self._is_closed = False

    def meanwhile(self, work: Callable[[], None]) -> None:
        """Do something that will be needed later, in a thread that has ended when something is timed.

        Parameters
        ----------
        work
            Begins when what was passed before has ended. Must not raise.
        """
        before = self._own_work

        def follow() -> None:
            if before is not None:
                before.join()
            # The run may end first, or have no more requests made of any worker.
            if not self._is_closed:
                with suppress(WorkStopped):
                    work()

        # A daemon: a run that is interrupted does not wait for it.
        self._own_work = threading.Thread(target=follow, daemon=True)
        self._own_work.start()

    def finish_own_work(self) -> None:
        """Wait for the end of all that :meth:`meanwhile` was given."""
        if self._own_work is not None:
            self._own_work.join()

    def expect(self, jobs: Iterable[Job]) -> None:
        """Append jobs to those that will be opened next, in order."""
        self._to_come.extend(jobs)

    def open(self, job: Job) -> Session:
        """Return the session that waits for the job, or start one; others are started behind it."""
        # The wanted worker first; its import of torch overlaps with those of the next ones.
        session = self._take(job) or self._start(job)
        while not self._held and self._to_come and len(self._waiting) < self._most:
            following = self._to_come.popleft()
            try:
                self._waiting.append((following, self._start(following)))
            except (HarnessError, OSError):  # `open` raises it again when the job is asked for
                break
        return session

    def forget(self, job: Job) -> None:
        """Close the session that waits for a job that will not be opened."""
        session = self._take(job)
        if session is not None:
            session.close()

    def hold(self) -> None:
        """Stop the waiting workers, each until it is asked for, and start no others: something is about to be timed.

        Work of this process has ended when this returns.
        """
        self._held = True
        self.finish_own_work()
        for _, session in self._waiting:
            session.pause()

    def release(self) -> None:
        """Start others again."""
        self._held = False

    def close(self) -> None:
        """End every worker that was started here and still runs."""
        self._is_closed = True
        with ExitStack() as ending:  # all of them, also if one cannot be closed
            for session in self._opened:
                ending.callback(session.close)

    def _take(self, job: Job) -> Session | None:
        # It is asked for now, so it must not be started in advance any more.
        if job in self._to_come:
            self._to_come.remove(job)
        for number, (known, session) in enumerate(self._waiting):
            if known == job:
                del self._waiting[number]
                return session if session.alive() else None  # it may have run out of memory; a new one is started
        return None

    def _start(self, job: Job) -> Session:
        session = self._engine.open(job)
        # Without those that have ended: each holds the end of its submission's output.
        self._opened = [one for one in self._opened if not one.closed] + [session]
        return session
