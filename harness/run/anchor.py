"""The anchor: a small network of the harness that is timed between all others, so that their times are comparable."""

from __future__ import annotations

import secrets
from pathlib import Path

from harness.engines import Job, Opener
from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.results.schema import Ceilings
from harness.run.jobs import job_for
from harness.run.plan import Plan
from harness.submissions.discovery import Submission, discover

# The anchor is a submission in the harness's own package, loaded and isolated like any other.
_FOLDER = Path(__file__).resolve().parents[1] / "timing" / "anchor"


class Anchor:
    """The anchor's worker, which serves a whole run.

    One process serves all networks, because two processes of the same network differ in speed.

    Parameters
    ----------
    plan
        The run.
    engine
        Starts the worker.

    Attributes
    ----------
    ceilings
        What the device did at best, measured by the anchor's first worker; None until then, if that failed, or if
        the plan does without.
    """

    def __init__(self, plan: Plan, engine: Opener) -> None:
        self._plan = plan
        self._engine = engine
        self._running: tuple[Session, str] | None = None
        self._ceilings_measured = False
        self._failed = False
        self.ceilings: Ceilings | None = None

    def job(self) -> Job:
        """Return how the worker is started."""
        (found,) = discover([_FOLDER], entry_points=False)
        assert isinstance(found, Submission)
        return job_for(self._plan, found, self._plan.protocol.precision, None)

    def open(self) -> tuple[Session, str]:
        """Return the anchor's session, paused, and a name that is unique to its process.

        Raises
        ------
        WorkerError
            It cannot be started or loaded.
        """
        # The name is new for each process: records that share it were compared with one and the same process.
        if self._running is None or not self._running[0].alive():
            self._running = self._start(), secrets.token_hex(8)
        return self._running

    def try_open(self) -> Session | None:
        """Return the anchor's session; None if it failed, now or before."""
        # Not tried again for every network: what made it fail, such as lack of memory, usually persists.
        if self._failed:
            return None
        try:
            return self.open()[0]
        except WorkerError:
            self._failed = True
            return None

    def drop(self) -> None:
        """End the worker after a failure; the next call of :meth:`open` starts another."""
        if self._running is not None:
            self._running[0].close()
            self._running = None

    def _start(self) -> Session:
        worker = self._engine.open(self.job())
        try:
            worker.load()
            self._measure_ceilings(worker)
        except WorkerError as error:
            worker.close()
            # Without ceilings, rows lack their roofline; without an anchor, they lack their times.
            if error.stage == "ceilings":
                return self._start()
            raise
        worker.pause()
        return worker

    def _measure_ceilings(self, worker: Session) -> None:
        if self._plan.has_ceilings and not self._ceilings_measured:
            # Set first: if it fails, `_start` calls again and must not repeat it.
            self._ceilings_measured = True
            self.ceilings = worker.ceilings()
