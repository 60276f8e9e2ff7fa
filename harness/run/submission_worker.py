"""The workers of one submission, one after another: how each is started, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.backends import BACKENDS
from harness.engines import Job, Opener
from harness.errors import UnsupportedError, WorkerError
from harness.isolation.limits import default_limits
from harness.isolation.session import Session
from harness.results.schema import NetworkForm
from harness.run import stages
from harness.run.jobs import job_for
from harness.run.memory import heap_bytes
from harness.run.plan import Plan
from harness.submissions.discovery import Submission
from harness.submissions.environments import python_for


@dataclass(slots=True)
class SubmissionWorker:
    """Starts the workers of one submission; at most one runs at a time.

    Attributes
    ----------
    plan
        The run.
    submission
        What the workers load.
    log
        File that receives what the submission prints.
    process
        Which worker comes next, or runs, from 0.
    python
        Interpreter of an environment that was made for the submission; None for the harness's own.
    session
        The running worker; None if there is none.
    form
        The form that is measured, which later workers make again: the network as it is loaded until one was chosen.
    regions
        What was collapsed in it.
    heap_has_grown
        Whether the running worker has the memory of its calls before the first one.
    """

    plan: Plan
    submission: Submission
    log: Path
    process: int = 0
    python: Path | None = None
    session: Session | None = None
    form: NetworkForm | None = None
    regions: tuple[str, ...] = ()
    heap_has_grown: bool = False

    @property
    def running(self) -> Session:
        """The running worker's session."""
        assert self.session is not None
        return self.session

    @property
    def needs_build(self) -> bool:
        """Whether the run's backend compiles, exports or records a network before it can be called."""
        return BACKENDS.get(self.plan.request.backend).builds

    def job(self) -> Job:
        """Return how the worker is started."""
        return job_for(
            self.plan,
            self.submission,
            self.plan.protocol.precision,
            self.log,
            backend=self.plan.request.backend,
            python=self.python,
            process=self.process,
        )

    def float32_job(self) -> Job:
        """Return how a worker is started that computes in float32.

        What it prints is discarded: the log is of what was measured.
        """
        backend = self.plan.request.backend
        return job_for(self.plan, self.submission, "fp32", None, backend=backend, python=self.python)

    def install(self, report: Callable[[str], None]) -> list[str]:
        """Make the environment that the submission requires, if the user asked for it; return what was installed.

        Raises
        ------
        WorkerError
            A requirement cannot be installed.
        """
        if not self.plan.request.install:
            return []
        manifest, wheels = self.submission.manifest, self.plan.request.wheels
        try:
            self.python, installed = python_for(self.submission.root, manifest, wheels, report)
        except UnsupportedError as error:
            raise WorkerError(str(error), stage="install", kind="UnsupportedError") from error
        return installed

    def open(self, engine: Opener) -> Session:
        """Start the worker; nothing is loaded yet."""
        self.session = engine.open(self.job())
        return self.session

    def grow_heap(self, peak_bytes: int | None) -> None:
        """Let the worker get the memory of its calls now, so that its first call is hardly slower than the others.

        Parameters
        ----------
        peak_bytes
            Estimated peak memory of a call; None if unknown. There must be room for :func:`heap_bytes` of it.
        """
        kind = self.plan.device.kind
        if peak_bytes is None or kind != "cpu":
            return
        size_bytes = heap_bytes(peak_bytes)
        limit_bytes = (self.job().limits or default_limits(kind)).memory_bytes
        if limit_bytes is not None and size_bytes > limit_bytes // 2:
            return  # the network's calls may be just below the limit
        # An optimization: what goes wrong here, such as lack of memory, is the error of the worker's next request.
        with suppress(Exception):
            stages.grow_heap(self.running, size_bytes)
            self.heap_has_grown = True
        with suppress(Exception):
            self.running.pause()

    def restart(self, engine: Opener) -> Session:
        """Bring the network up again, as it was, in a new process."""
        session = self.reopen(engine, self.job())
        self.build()
        return session

    def reopen(self, engine: Opener, job: Job) -> Session:
        """Load and reparameterize the network in a new process; nothing is recorded."""
        self.close()
        self.heap_has_grown = False
        self.session = engine.open(job)
        self.session.load()
        if self.form is not None and self.form.name != "loaded":
            self._make(self.form, self.session)
        return self.session

    def _make(self, form: NetworkForm, session: Session) -> None:
        """Let a new process make the form that is measured.

        Raises
        ------
        WorkerError
            It makes another one, whose times and images would be mixed with those of the first.
        """
        automatic = form.name == "automatic"
        frames = self.plan.proof_frames()
        regions, sizes = self.regions if automatic else None, self.plan.used_sizes()
        made = session.reparameterize(frames, automatic=automatic, regions=regions, sizes=sizes)
        # Submitted code decides how it converts itself, and could do so differently in each process.
        if (made.method, made.params_after) != (form.method, form.params):
            what = f"in a new process its inference form has {made.params_after:,} parameters, not {form.params:,}"
            raise WorkerError(what, stage="reparameterize", kind="OtherForm", hint="measure it with --reparam author")

    def build(self) -> float | None:
        """Compile, export or record the network for its backend; return the seconds it took, None if nothing is built.

        Neither a time nor a later stage then contains it.
        """
        if not self.needs_build:
            return None
        on_images = self.plan.protocol.inputs == "dataset"
        # Images of a data set may differ in size; the size of the first one is used.
        size = self.plan.dataset.pair(0)[0].shape[:2] if on_images else self.plan.track.input_shape[2:]
        # With images of several sizes no size is the main one, for which a backend could specialize.
        return self.running.prepare((size[0], size[1]), main=not on_images)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self.session is not None:
            self.session.close()
            self.session = None
