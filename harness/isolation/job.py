"""What is to be run: a submission at one scale, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.isolation.limits import Limits
from harness.isolation.requests import Precision
from harness.isolation.sandbox import Sandbox
from harness.results.schema import Backend


class ManifestFacts(Protocol):
    """What is read of a manifest; ``harness.submissions.manifest.Manifest`` has it."""

    @property
    def factory(self) -> str: ...  # noqa: D102
    @property
    def value_range(self) -> float: ...  # noqa: D102
    @property
    def size_multiple(self) -> int: ...  # noqa: D102
    @property
    def reparameterize(self) -> str | None: ...  # noqa: D102
    def weights_for(self, scale: int) -> Path | None: ...  # noqa: D102
    def lacks_weights(self, scale: int) -> bool: ...  # noqa: D102


class SubmissionFacts(Protocol):
    """What is read of a submission; ``harness.submissions.discovery.Submission`` has it."""

    @property
    def root(self) -> Path: ...  # noqa: D102
    @property
    def module(self) -> str | None: ...  # noqa: D102
    @property
    def manifest(self) -> ManifestFacts: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Job:
    """One submission at one scale, and how to run it.

    Attributes
    ----------
    submission
        Root folder and manifest; nothing of it is imported by who holds this.
    scale
        Upscaling factor.
    device
        Where the network runs, ``cpu`` or as torch names it.
    precision
        Number format of the network, for speed and quality alike.
    threads
        How many threads the network may use on the CPU; it is bound to as many logical processors.
    backend
        How the network is executed.
    strict
        Whether an accelerator is brought into one state before each timed call, see ``docs/timing.md``.
    timeout_s
        Longest wait for any one step, seconds.
    log_path
        Where to write what the submission printed, when the session is closed.
    process
        Which of the submission's workers this is, from 0: what later ones print is added to the log.
    sandbox
        How to confine it: ``auto`` takes bubblewrap where it works, else a process with limits.
    limits
        What it may use; :func:`harness.isolation.limits.default_limits` by default.
    python
        Interpreter of the environment that the submission asks for; the harness's own by default.
    trust_pickle
        Execute the code in a checkpoint's pickle; only with bubblewrap.
    """

    submission: SubmissionFacts
    scale: int
    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    backend: Backend = "eager"
    strict: bool = False
    timeout_s: float = 300.0
    log_path: Path | None = None
    process: int = 0
    sandbox: Sandbox = "auto"
    limits: Limits | None = None
    python: Path | None = None
    trust_pickle: bool = False
