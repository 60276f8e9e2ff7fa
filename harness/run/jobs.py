"""How a run starts the worker of a submission."""

from __future__ import annotations

from pathlib import Path

from harness.engines import Job
from harness.results.record import Backend
from harness.run.plan import Plan
from harness.submissions.discovery import Submission
from harness.timing import Precision


def job_for(
    plan: Plan,
    submission: Submission,
    precision: Precision,
    log: Path | None,
    *,
    backend: Backend = "eager",
    python: Path | None = None,
    process: int = 0,
) -> Job:
    """Return the job that starts one worker.

    Parameters
    ----------
    plan
        The run: scale, device, threads, timeout, sandbox.
    submission
        What the worker loads.
    precision
        Of the network.
    log
        File that receives what the submission prints; None to discard it.
    backend
        How the network is executed.
    python
        Interpreter of the submission's own environment; None for the harness's.
    process
        Which of the submission's workers this is, from 0. Later ones append to the log.
    """
    return Job(
        submission,
        scale=plan.track.scale,
        device=plan.device.kind,
        precision=precision,
        threads=plan.device.threads,
        backend=backend,
        # Protocols that follow published scripts keep torch's defaults, as those scripts do.
        strict=plan.protocol.takes_turns,
        timeout_s=plan.request.timeout_s,
        log_path=log,
        sandbox=plan.request.sandbox,
        python=python,
        trust_pickle=plan.request.trust_pickle,
        process=process,
        analysis_limit_s=plan.request.analysis_limit_s,
        machine=plan.place.machine,
    )
