"""The description of a worker's task: one submission at one scale and how to run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.isolation.limits import Limits
from harness.isolation.requests import ANALYSIS_LIMIT_S, Precision
from harness.isolation.sandbox import Sandbox
from harness.results.record import Backend, Colour


class JobManifest(Protocol):
    """The part of a manifest that a session reads, implemented by ``harness.submissions.manifest.Manifest``."""

    @property
    def factory(self) -> str: ...  # noqa: D102
    @property
    def value_range(self) -> float: ...  # noqa: D102
    @property
    def size_multiple(self) -> int: ...  # noqa: D102
    @property
    def requires(self) -> list[str]: ...  # noqa: D102
    @property
    def alternatives(self) -> list[str]: ...  # noqa: D102
    @property
    def kwargs(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def folder(self) -> str: ...  # noqa: D102
    @property
    def output(self) -> int | str | None: ...  # noqa: D102
    @property
    def colour(self) -> Colour | None: ...  # noqa: D102
    @property
    def weights_key(self) -> str | None: ...  # noqa: D102
    @property
    def reparameterize(self) -> str | None: ...  # noqa: D102
    def weights_for(self, scale: int) -> Path | None: ...  # noqa: D102
    def lacks_weights(self, scale: int) -> bool: ...  # noqa: D102


class JobSubmission(Protocol):
    """The part of a submission that a session reads, implemented by ``harness.submissions.submission.Submission``."""

    @property
    def root(self) -> Path: ...  # noqa: D102
    @property
    def module(self) -> str | None: ...  # noqa: D102
    @property
    def manifest(self) -> JobManifest: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Job:
    """One submission at one scale, and how to run it.

    Attributes
    ----------
    submission
        Root folder and manifest. The controller never imports code from it.
    scale
        Upscaling factor.
    device
        Torch device that the network runs on, such as ``cpu`` or ``cuda:0``.
    precision
        Number format of the network, the same for timing and for quality.
    threads
        Number of CPU threads that the network may use. The worker is pinned to as many logical processors.
    backend
        How the network is executed.
    strict
        Whether to reset the state of an accelerator before each timed call, see ``docs/timing.md``.
    timeout_s
        Longest wait for the reply to one request, seconds.
    log_path
        File for the submission's output, written when the session is closed; None to discard it.
    process
        Index of this worker among those of the submission, from 0. Output of later ones is appended to the log.
    sandbox
        How to confine the worker; ``auto`` uses bubblewrap if it works, else a process with limits.
    limits
        Resource limits; :func:`harness.isolation.limits.default_limits` by default.
    python
        Interpreter of the environment that the submission requires; that of the harness by default.
    trust_pickle
        Whether to execute code in a pickled checkpoint; requires bubblewrap.
    analysis_limit_s
        Seconds after which the search for an inference form ends, and likewise a count of operations.
    machine
        Name of the machine that the worker runs on, as of its place; empty for the engine's first.
    """

    submission: JobSubmission
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
    analysis_limit_s: float = ANALYSIS_LIMIT_S
    machine: str = ""
