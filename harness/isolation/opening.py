"""Open a session: start a worker for a submission and connect to it."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.errors import UsageError
from harness.isolation.exchange import WorkerExchange
from harness.isolation.job import Job
from harness.isolation.launch_plan import Launch
from harness.isolation.launcher import launch
from harness.isolation.limits import UNLIMITED, default_limits
from harness.isolation.requests import LoadRequest, path_of_text, path_to_text
from harness.isolation.sandbox import Choice, choose, place_of
from harness.isolation.session import Session
from harness.submissions.manifest import manifest_file


def load_request(job: Job) -> LoadRequest:
    """Return the request that loads a submission. Its paths are those in the controller's file system."""
    manifest = job.submission.manifest
    weights = manifest.weights_for(job.scale)
    root = job.submission.root.resolve()
    return LoadRequest(
        root=path_to_text(root),
        factory=manifest.factory,
        scale=job.scale,
        weights=None if weights is None else weights.as_posix(),
        weights_key=manifest.weights_key,
        random_weights=manifest.lacks_weights(job.scale),
        hook=manifest.reparameterize,
        value_range=manifest.value_range,
        size_multiple=manifest.size_multiple,
        device=job.device,
        precision=job.precision,
        threads=job.threads,
        backend=job.backend,
        strict=job.strict,
        has_manifest=manifest_file(root) is not None,
        requires=manifest.requires,
        analysis_limit_s=job.analysis_limit_s,
        alternatives=manifest.alternatives,
        kwargs=manifest.kwargs,
        folder=manifest.folder,
        output=manifest.output,
        colour=manifest.colour,
    )


def require_sandbox_for_pickles(choice: Choice) -> None:
    """Check that code in pickled checkpoints would only be executed inside bubblewrap.

    Raises
    ------
    UsageError
        Workers run with weaker isolation.
    """
    if choice.confinement != "bwrap":
        raise UsageError(
            f"--trust-pickle needs a sandbox, and workers run as {choice.describe()}",
            hint="install bubblewrap (harness doctor), or convert the checkpoint with harness convert",
        )


def open_session(job: Job) -> Session:
    """Start a worker for one submission.

    Returns
    -------
    Session
        A context manager. The thread that opened it must outlive it, see :func:`harness.isolation.launcher.launch`.

    Raises
    ------
    UsageError
        ``sandbox`` is ``bwrap`` but bubblewrap does not work here, or ``trust_pickle`` is set without bubblewrap.
    """
    request = load_request(job)
    choice = choose(job.sandbox)
    if job.trust_pickle:
        require_sandbox_for_pickles(choice)
    root = path_of_text(request.root)
    inside = place_of(root, installed=job.submission.module is not None) if choice.confinement == "bwrap" else root
    bounds = UNLIMITED if choice.confinement == "none" else job.limits or default_limits(job.device)
    interpreter = job.python or Path(sys.executable)
    worker = launch(Launch(root, inside, interpreter, job.threads, job.device, bounds, choice.confinement, job.process))
    # The worker sees the submission at its path inside the sandbox.
    request = request.model_copy(update={"root": path_to_text(inside), "trust_pickle": job.trust_pickle})
    isolation = choice.describe() if worker.group is None else f"{choice.describe()}, control group"
    return Session(WorkerExchange(worker, isolation, job.log_path, job.process), request, job.timeout_s)
