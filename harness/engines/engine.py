"""What an engine is: a place where submissions run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.isolation.limits import Limits
from harness.isolation.opening import SubmissionFacts
from harness.isolation.requests import Precision
from harness.isolation.sandbox import Sandbox
from harness.isolation.session import Session
from harness.results.schema import Lane


@dataclass(frozen=True, slots=True)
class Job:
    """One submission at one scale, and how to run it; see :func:`harness.isolation.opening.open_session`."""

    submission: SubmissionFacts
    scale: int
    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    lane: Lane = "eager"
    strict: bool = False
    timeout_s: float = 300.0
    log_path: Path | None = None
    sandbox: Sandbox = "auto"
    limits: Limits | None = None
    python: Path | None = None
    trust_pickle: bool = False


class Engine(Protocol):
    """Opens a session for each submission."""

    name: str

    def open(self, job: Job) -> Session:
        """Start what the submission needs to run; the caller closes the session."""
        ...
