"""What the stages of a run share: workers, the device, the store, and the submissions that are finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from harness.engines import Opener, PrefetchingEngine
from harness.errors import WorkerError
from harness.faults import concerns_the_run, worker_error
from harness.results import ErrorInfo, Measurement, RunStore, TimingRecord
from harness.run.anchor import Anchor
from harness.run.plan import Plan, PlannedSubmission
from harness.run.progress import Progress
from harness.run.resume import FILES_CHANGED, ResumePolicy
from harness.run.submission_run import SubmissionRun
from harness.submissions.submission import Submission


class MeasuredSubmission(NamedTuple):
    """A submission with what was measured of it, or why nothing was.

    A `Measurement` names no submission: it is stored by a fingerprint, and serves every run that has this fingerprint.
    """

    planned: PlannedSubmission
    measurement: Measurement


class EarlierTiming(NamedTuple):
    """The timing of a network that was timed before, and whether the network has a rank."""

    record: TimingRecord
    is_ranked: bool


class RunContext:
    """The resources of one run; a context manager that ends every worker and releases the device.

    Parameters
    ----------
    plan
        What the run is.
    store
        Where measurements are kept.
    engine
        Starts workers.
    progress
        Receives every step.
    earlier
        Timings of this device that are not among what this context measures.

    Attributes
    ----------
    plan, store, progress
        As given.
    engine
        Starts workers, the expected ones in advance.
    anchor
        The harness's own network.
    resume
        Which stored measurements are reused.
    """

    def __init__(
        self, plan: Plan, store: RunStore, engine: Opener, progress: Progress, earlier: Sequence[EarlierTiming] = ()
    ) -> None:
        self.plan = plan
        self.store = store
        self.progress = progress
        self.engine = PrefetchingEngine(engine)
        self.anchor = Anchor(plan, self.engine)
        self.resume = ResumePolicy(plan, store)
        self._earlier = earlier
        self._finished: dict[str, Measurement] = {}
        self._resources = ExitStack()
        # The device's lock is entered once: `reserve_device` is called for every submission that needs a worker.
        self._has_device = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Workers end before the device is given to another run, which they would disturb, and so does work of this
        # process, unless the user interrupts the run.
        try:
            self.engine.close()  # first, so that no heap of a worker goes on growing
            if kind is None or issubclass(kind, Exception):
                self.engine.finish_own_work()
        finally:
            self._resources.close()

    def reserve_device(self) -> None:
        """Wait until no other run uses the device, and keep it until the end: loading disturbs another run's timing."""
        if not self._has_device:
            waiting = partial(self.progress.stage, "", "wait", "for another run on this device")
            self._resources.enter_context(self.plan.place.lock(waiting))
            self._has_device = True

    def attempt(self, run: SubmissionRun, stage: Callable[[], None]) -> bool:
        """Carry out a stage of a submission and return whether it succeeded.

        A failure in a worker, or in the controller at what the worker sent, ends that submission alone: it is
        finished with the error.
        """
        try:
            stage()
        except Exception as error:  # noqa: BLE001  # what concerns the run is raised again
            # `error_of` raises what concerns the run, before the submission is marked as failed.
            run.fail(self.error_of(run.planned, error))
            self.finish(run)
            return False
        return True

    def error_of(self, planned: PlannedSubmission, error: Exception) -> WorkerError:
        """Return the error of a submission for an exception, which is raised again if it ends the run.

        Raises
        ------
        ResultsError
            The run's folder is gone.
        Exception
            `error` itself, if no submission is at fault: of a listener, of the store, or in a baseline of the harness.
        """
        # Raised by a session for this worker, so the submission is at fault.
        if isinstance(error, WorkerError):
            return error
        if concerns_the_run(error) or planned.submission.kind == "baseline":
            raise error
        # Raises if the run's folder is gone.
        self.store.require_folder()  # a file that could not be written is not the submission's fault
        return worker_error(error, self.progress.stage_of(planned.submission.slug))

    def record_failure(self, planned: PlannedSubmission, error: Exception) -> None:
        """Let a submission fail whose stages have not begun; see :meth:`error_of`."""
        self.record(planned, self._failure(planned, error))

    def finish(self, run: SubmissionRun) -> None:
        """Store the measurement of a submission whose last stage has ended."""
        self.record(run.planned, run.finish())

    def record(self, planned: PlannedSubmission, measurement: Measurement, *, reused: bool = False) -> None:
        """Keep a measurement for the table, and store it unless it was read from the store."""
        if not reused:
            measurement = self._of_planned_files(planned, measurement)
            # A reused measurement keeps the seconds of the run that made it.
            seconds = self.seconds_of(planned, measurement)
            measurement = self._saved(planned, measurement.model_copy(update={"stage_seconds": seconds}))
        self._finished[planned.submission.slug] = measurement
        self.progress.finish(planned.submission.slug, measurement, reused=reused)

    def seconds_of(self, planned: PlannedSubmission, measurement: Measurement) -> dict[str, float]:
        """Return the seconds of each stage, with those of the earlier run that this one went on from."""
        seconds = dict(measurement.stage_seconds)
        for stage, spent_s in self.progress.stage_times.of(planned.submission.slug).items():
            # Added, because a resumed submission was prepared in both runs.
            seconds[stage] = round(seconds.get(stage, 0.0) + spent_s, 3)
        return seconds

    def record_stored(self) -> None:
        """Keep what is stored of submissions that an interrupted run did not reach: its table has their rows, too."""
        for planned in self.plan.submissions:
            stored = self.resume.stored(planned)
            if stored is not None:
                self._finished.setdefault(planned.submission.slug, stored)

    def _of_planned_files(self, planned: PlannedSubmission, measurement: Measurement) -> Measurement:
        """Return a measurement, or a failure in its place if the files of its submission changed meanwhile."""
        # A team may send a new version during the run. Files of the harness itself are no submission's.
        changed = None if planned.files is None or planned.submission.kind == "baseline" else planned.files.changed()
        if changed is None:
            return measurement
        what = f"its files were changed while it was measured ({changed}), so that its figures are of no version"
        hint = "run it again, which measures it as it is now"
        return self._failure(planned, WorkerError(what, stage="load", kind=FILES_CHANGED, hint=hint))

    def _saved(self, planned: PlannedSubmission, measurement: Measurement) -> Measurement:
        """Store a measurement and return it, or the failure of one that cannot be stored.

        A failure does not replace figures of the same files. There are some if the submission was measured again for a
        further data set or to save its images: a later run without these has its row as before.
        """
        earlier = self.store.measurement(planned.fingerprint) if measurement.status == "failed" else None
        if earlier is not None and earlier.status == "ok":
            self.store.forget_unfinished(planned.fingerprint)
            return measurement
        try:
            self.store.save_measurement(measurement)
        except ValueError as error:  # pydantic cannot serialize a value in it
            measurement = self._failure(planned, error)
            self.store.save_measurement(measurement)
        return measurement

    def _failure(self, planned: PlannedSubmission, error: Exception) -> Measurement:
        failure, submission = self.error_of(planned, error), planned.submission
        message = submission.named(str(failure)) if isinstance(submission, Submission) else str(failure)
        reason = ErrorInfo(stage=failure.stage, type=failure.kind, message=message, log=failure.log)
        empty = Measurement.empty(planned.fingerprint, planned.backend)
        return empty.model_copy(update={"status": "failed", "error": reason})

    def measurements(self) -> list[MeasuredSubmission]:
        """Return what is finished, in the plan's order. This stays available after the context is closed."""
        return [
            MeasuredSubmission(planned, self._finished[planned.submission.slug])
            # An interrupted run has submissions without a measurement: they are left out.
            for planned in self.plan.submissions
            if planned.submission.slug in self._finished
        ]

    def earlier_timings(self) -> list[EarlierTiming]:
        """Return the timings with which a network that is timed now is compared."""
        return [*self._earlier, *(found for one in self.measurements() if (found := timing_of(*one)) is not None)]


def timing_of(planned: PlannedSubmission, measurement: Measurement) -> EarlierTiming | None:
    """Return the timing of a submission that was measured; None if it failed or has no times."""
    if measurement.timing is None or measurement.status != "ok":
        return None
    return EarlierTiming(measurement.timing, planned.submission.kind == "submission")
