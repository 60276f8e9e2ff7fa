"""Submissions run on this machine, each in its own worker process, on all devices that a run may use."""

from __future__ import annotations

from harness.engines.this_machine import ThisMachine
from harness.isolation.job import Job
from harness.isolation.opening import open_session
from harness.isolation.session import Session


class LocalEngine(ThisMachine):
    """One worker process per submission."""

    name = "local"

    def open(self, job: Job) -> Session:
        """Start a worker process."""
        return open_session(job)
