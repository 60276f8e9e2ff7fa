"""Submissions run on this machine, each in its own worker process."""

from __future__ import annotations

from harness.engines.engine import Job
from harness.isolation.opening import open_session
from harness.isolation.session import Session


class LocalEngine:
    """One worker process per submission."""

    name = "local"

    def open(self, job: Job) -> Session:
        """Start a worker process."""
        return open_session(
            job.submission,
            scale=job.scale,
            device=job.device,
            precision=job.precision,
            threads=job.threads,
            lane=job.lane,
            strict=job.strict,
            timeout_s=job.timeout_s,
            log_path=job.log_path,
            sandbox=job.sandbox,
            limits=job.limits,
            python=job.python,
            trust_pickle=job.trust_pickle,
        )
