"""Workers that are started before they are needed: importing torch takes seconds, on an accelerator five."""

from __future__ import annotations

import os
from collections.abc import Iterable

from harness.engines.engine import Engine
from harness.errors import HarnessError
from harness.isolation.job import Job
from harness.isolation.session import Session

_CORES_EACH = 4
_MOST = 4


class Ahead:
    """An engine that starts the next workers while another is prepared.

    Parameters
    ----------
    engine
        What starts them.
    jobs
        In the order in which they will be opened, drawn one by one; one that is passed over is let go.
    most
        How many may wait; by default one for every four cores, between one and four.
    """

    def __init__(self, engine: Engine, jobs: Iterable[Job], most: int | None = None) -> None:
        self.name = engine.name
        self._engine = engine
        self._jobs = iter(jobs)
        self._most = max(1, min(_MOST, (os.cpu_count() or 1) // _CORES_EACH)) if most is None else most
        self._waiting: list[tuple[Job, Session]] = []
        self._held = False

    def open(self, job: Job) -> Session:
        """Return the session that waits for the job, or start one."""
        self._start_next()
        waiting = [number for number, (known, _) in enumerate(self._waiting) if known == job]
        if not waiting:
            return self._engine.open(job)
        for _, passed_over in self._waiting[: waiting[0]]:
            passed_over.close()
        session = self._waiting[waiting[0]][1]
        del self._waiting[: waiting[0] + 1]
        self._start_next()
        return session

    def hold(self) -> None:
        """Stop the waiting workers and start no others: something is about to be timed."""
        self._held = True
        for _, session in self._waiting:
            session.pause()

    def release(self) -> None:
        """Start others again."""
        self._held = False

    def close(self) -> None:
        """End the workers that nobody asked for."""
        for _, session in self._waiting:
            session.close()
        self._waiting.clear()

    def _start_next(self) -> None:
        while not self._held and len(self._waiting) < self._most:
            job = next(self._jobs, None)
            if job is None:
                return
            try:
                self._waiting.append((job, self._engine.open(job)))
            except (HarnessError, OSError):  # it will be told where the job is asked for
                return
