"""From a planned submission to a loaded, reparameterized and counted network."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from harness.data.outputs import OutputFolder
from harness.engines import Job
from harness.errors import SubmissionError
from harness.faults import kind_of
from harness.machine.quiet import QUIET_HOURS
from harness.quality import upscale_bicubic
from harness.results import ErrorInfo, Measurement
from harness.results.crops import CropStore
from harness.results.record import Status
from harness.run.context import RunContext
from harness.run.plan import Plan, PlannedSubmission
from harness.run.quality_pass import QualityPass, Upscaled, image_quality
from harness.run.submission_run import SubmissionRun
from harness.run.submission_worker import SubmissionWorker
from harness.run.timing_order import order_of
from harness.submissions.discovery import BrokenSubmission, Submission
from harness.text import printable

_READ_AHEAD_BYTES = 32 << 20  # of images, after which none is begun


class Preparation:
    """Prepares submissions one after another.

    Parameters
    ----------
    context
        The run's resources.
    upscales
        Whether images are upscaled after the timing.
    """

    def __init__(self, context: RunContext, *, upscales: bool = True) -> None:
        self._context = context
        self._upscales = upscales
        self._crops = context.plan.crop_store()
        self._workers_are_expected = False

    def prepare(self, planned: PlannedSubmission) -> SubmissionRun | None:
        """Load, reparameterize and count a submission in a worker of its own.

        Returns
        -------
        SubmissionRun or None
            None if there is nothing left to do: its measurement was stored, it cannot run here, or it failed.
        """
        try:
            return self._prepare(planned)
        except Exception as error:  # noqa: BLE001  # what concerns the run is raised again
            self._context.record_failure(planned, error)
            return None

    def needs_worker(self, planned: PlannedSubmission) -> bool:
        """Return whether a worker must be started for a submission; if not, its measurement is recorded."""
        context = self._context
        stored = context.resume.finished(planned)
        if stored is not None:
            context.record(planned, stored, reused=True)
            return False
        refusal = refuse(planned.submission, context.plan.of_row(planned))
        if refusal is not None:
            status, reason = refusal
            context.record(planned, self._empty(planned).model_copy(update={"status": status, "error": reason}))
        return refusal is None

    def _prepare(self, planned: PlannedSubmission) -> SubmissionRun | None:
        context = self._context
        # Before the device is reserved: a run whose rows are all stored waits for no other run.
        if not self.needs_worker(planned):
            return None
        context.reserve_device()
        self._expect_workers()
        run, earlier = self._new_run(planned), context.resume.unfinished(planned)
        # Times can be continued only with the same form, see `SubmissionRun.resume`.
        form = None if earlier is None or earlier.reparam is None else earlier.reparam.form
        if not context.attempt(run, lambda: run.prepare(context.engine, form)):
            return None
        if earlier is not None:
            run.resume(earlier)
        return run

    def _new_run(self, planned: PlannedSubmission) -> SubmissionRun:
        plan = self._context.plan.of_row(planned)
        return SubmissionRun(
            plan,
            planned,
            self._context.progress,
            # Pictures of the same network on several backends would be alike.
            quality_pass_of(plan, planned, None if planned.variant_of else self._crops, plan.outputs_of(planned)),
            self._worker(planned),
            self._empty(planned),
        )

    def _empty(self, planned: PlannedSubmission) -> Measurement:
        """Return a measurement without results, with a note if the stored one was damaged."""
        empty = Measurement.empty(planned.fingerprint, planned.backend)
        # None unless a file of this fingerprint exists and cannot be read.
        damage = self._context.store.damage(planned.fingerprint)
        note = f"measured again, because the stored measurement cannot be used: it {damage}"
        return empty if damage is None else empty.model_copy(update={"notes": [note]})

    def _worker(self, planned: PlannedSubmission) -> SubmissionWorker:
        assert isinstance(planned.submission, Submission)
        log = self._context.store.log_path(planned.submission.slug)
        # Processes that an earlier run timed keep their part of the log.
        process = self._context.resume.processes_done(planned)
        return SubmissionWorker(self._context.plan.of_row(planned), planned.submission, log, process)

    def _expect_workers(self) -> None:
        """Let workers start in advance: of all that is not in the store, then the anchor's."""
        if self._workers_are_expected:
            return
        self._workers_are_expected = True
        if self._upscales:
            self._context.engine.meanwhile(self._work_ahead)
        plan, resume = self._context.plan, self._context.resume
        if plan.request.install or not order_of(plan.protocol).loads_together:
            # No worker may import while a network is timed alone. With --install, the environment must exist first.
            return
        # Jobs are compared by value, so these must equal those that `SubmissionWorker.open` asks for later.
        self._context.engine.expect(self._jobs_to_come())
        if any(resume.unfinished(planned) is None for planned in plan.submissions):  # something is to be timed
            self._context.engine.expect([self._context.anchor.job()])

    @QUIET_HOURS.work()
    def _work_ahead(self) -> None:
        """Do what the quality of networks needs, while workers load: this process would wait for most of the time.

        Imports torch, reads small data sets, and compiles the metrics, which takes seconds in a new environment.
        """
        plan = self._context.plan
        # An optimization: what fails here fails again when it is needed, where its error is handled.
        with suppress(Exception):
            upscale_bicubic(np.zeros((8, 8, 3), np.uint8), plan.track.scale)
            left = _READ_AHEAD_BYTES
            for one in plan.datasets:
                left -= one.dataset.read_ahead(left) if left > 0 else 0
            image = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
            pair = Upscaled("", image, image[::-1].copy(), image)
            image_quality(pair, plan.track.convention, plan.request.conventions, plan.track.scale)

    def _jobs_to_come(self) -> list[Job]:
        plan, resume = self._context.plan, self._context.resume
        return [
            self._worker(planned).job()
            for planned in plan.submissions
            if refuse(planned.submission, plan.of_row(planned)) is None and resume.finished(planned) is None
        ]


def quality_pass_of(
    plan: Plan, planned: PlannedSubmission, crops: CropStore | None, outputs: OutputFolder | None
) -> QualityPass:
    """Return how the quality of a submission is measured in a run."""
    convention, further = plan.track.convention, plan.request.conventions
    return QualityPass(plan.dataset, planned.submission.slug, convention, further, crops, outputs)


def refuse(submission: Submission | BrokenSubmission, plan: Plan) -> tuple[Status, ErrorInfo] | None:
    """Return the status and the reason of a submission that cannot run here; None if it can.

    Parameters
    ----------
    submission
        As it was discovered.
    plan
        The run: its scale and its backend.
    """
    if isinstance(submission, BrokenSubmission):
        return "failed", _reason("discover", submission.error)
    scale, scales = plan.track.scale, submission.manifest.scales
    if scale not in scales:
        supported = ", ".join(f"x{scale}" for scale in scales)
        return "unsupported", _reason("plan", SubmissionError(f"does not support x{scale} (supports {supported})"))
    backend, backends = plan.request.backend, submission.manifest.backends
    if backends is not None and backend not in backends:
        what = f"does not run on backend {backend} (runs on {', '.join(backends)})"
        return "unsupported", _reason("plan", SubmissionError(what))
    return None


def _reason(stage: str, error: Exception) -> ErrorInfo:
    kind = kind_of(error) if isinstance(error, SubmissionError) else type(error).__name__
    return ErrorInfo(stage=stage, type=kind, message=printable(str(error), 4000), log=getattr(error, "log", ""))
