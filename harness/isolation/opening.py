"""From a submission and a run's settings to an open session."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

from harness.errors import UsageError
from harness.isolation.launcher import Launch, launch
from harness.isolation.limits import UNLIMITED, Limits, default_limits
from harness.isolation.requests import LoadRequest, Precision, path_of_text, path_to_text
from harness.isolation.sandbox import Choice, Sandbox, choose, place_of
from harness.isolation.session import Session, WorkerExchange
from harness.results.schema import Lane

__all__ = [
    "ManifestFacts",
    "Sandbox",
    "SubmissionFacts",
    "choose",
    "load_request",
    "open_session",
    "require_sandbox_for_pickles",
]


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


def load_request(
    submission: SubmissionFacts,
    *,
    scale: int,
    device: str,
    precision: Precision,
    threads: int,
    lane: Lane = "eager",
    strict: bool = False,
    seed: int = 0,
) -> LoadRequest:
    """Return the request that loads a submission, with paths as the controller sees them."""
    manifest = submission.manifest
    weights = manifest.weights_for(scale)
    return LoadRequest(
        root=path_to_text(submission.root.resolve()),
        factory=manifest.factory,
        scale=scale,
        weights=None if weights is None else weights.as_posix(),
        random_weights=manifest.lacks_weights(scale),
        hook=manifest.reparameterize,
        value_range=manifest.value_range,
        size_multiple=manifest.size_multiple,
        device=device,
        precision=precision,
        threads=threads,
        lane=lane,
        strict=strict,
        seed=seed,
    )


def require_sandbox_for_pickles(choice: Choice) -> None:
    """Refuse to execute the code of pickles outside of bubblewrap.

    Raises
    ------
    UsageError
        Workers would be confined by anything less.
    """
    if choice.confinement != "bwrap":
        raise UsageError(
            f"--trust-pickle needs a sandbox, and workers run as {choice.describe()}",
            mend="install bubblewrap (harness doctor), or convert the checkpoint with harness convert",
        )


def open_session(
    submission: SubmissionFacts,
    *,
    scale: int,
    device: str = "cpu",
    precision: Precision = "fp32",
    threads: int = 1,
    lane: Lane = "eager",
    strict: bool = False,
    timeout_s: float = 300.0,
    log_path: Path | None = None,
    sandbox: Sandbox = "auto",
    limits: Limits | None = None,
    python: Path | None = None,
    trust_pickle: bool = False,
) -> Session:
    """Start a worker for one submission.

    Parameters
    ----------
    submission
        Root folder and manifest; nothing of it is imported here.
    scale
        Upscaling factor.
    device
        Where the network runs, ``cpu`` or as torch names it.
    precision
        Number format of the network, for speed and quality alike.
    threads
        How many threads the network may use on the CPU.
    lane
        How the network is executed.
    strict
        Whether an accelerator is brought into one state before each timed call, see ``docs/timing.md``.
    timeout_s
        Longest wait for any one step, seconds.
    log_path
        Where to write what the submission printed, when the session is closed.
    sandbox
        How to confine it: ``auto`` takes bubblewrap where it works, else a process with limits.
    limits
        What it may use; :func:`harness.isolation.limits.default_limits` by default.
    python
        Interpreter of the environment that the submission asks for; the harness's own by default.
    trust_pickle
        Execute the code in a checkpoint's pickle; only with bubblewrap.

    Returns
    -------
    Session
        A context manager; the thread that opened it must outlive it.

    Raises
    ------
    UsageError
        ``sandbox`` is ``bwrap``, and it does not work here; or pickles are to be trusted without it.
    """
    job = load_request(
        submission, scale=scale, device=device, precision=precision, threads=threads, lane=lane, strict=strict
    )
    choice = choose(sandbox)
    if trust_pickle:
        require_sandbox_for_pickles(choice)
    root = path_of_text(job.root)
    inside = place_of(root, installed=submission.module is not None) if choice.confinement == "bwrap" else root
    bounds = UNLIMITED if choice.confinement == "none" else limits or default_limits(device)
    interpreter = python or Path(sys.executable)
    worker = launch(Launch(root, inside, interpreter, threads, device, bounds, choice.confinement))
    request = job.model_copy(update={"root": path_to_text(inside), "trust_pickle": trust_pickle})
    isolation = choice.describe() if worker.group is None else f"{choice.describe()}, control group"
    return Session(WorkerExchange(worker, isolation, log_path), request, timeout_s)
