"""What an engine is: a place where submissions run."""

from __future__ import annotations

from typing import Protocol

from harness.isolation.job import Job
from harness.isolation.session import Session


class Engine(Protocol):
    """Opens a session for each submission."""

    name: str

    def open(self, job: Job) -> Session:
        """Start what the submission needs to run; the caller closes the session."""
        ...
