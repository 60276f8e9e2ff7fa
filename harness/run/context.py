"""What the stages of a run share: workers, the device, the store, and the submissions that are finished."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from harness.engines import Engine, PrefetchingEngine
from harness.errors import WorkerError
from harness.machine.device_lock import device_lock
from harness.results import Measurement, RunStore
from harness.run.anchor import Anchor
from harness.run.plan import Plan, PlannedSubmission
from harness.run.progress import Progress
from harness.run.resume import ResumePolicy
from harness.run.submission_run import SubmissionRun


class MeasuredSubmission(NamedTuple):
    """A submission with what was measured of it, or why nothing was."""

    planned: PlannedSubmission
    measurement: Measurement


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

    def __init__(self, plan: Plan, store: RunStore, engine: Engine, progress: Progress) -> None:
        self.plan = plan
        self.store = store
        self.progress = progress
        self.engine = PrefetchingEngine(engine)
        self.anchor = Anchor(plan, self.engine)
        self.resume = ResumePolicy(plan, store)
        self._finished: dict[str, Measurement] = {}
        self._resources = ExitStack()
        self._has_device = False

    def __enter__(self) -> Self:
        self._resources.callback(self.engine.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def reserve_device(self) -> None:
        """Wait until no other run uses the device, and keep it until the end: loading disturbs another run's timing."""
        if not self._has_device:
            waiting = partial(self.progress.stage, "", "wait", "for another run on this device")
            self._resources.enter_context(device_lock(self.plan.device.kind, waiting))
            self._has_device = True

    def attempt(self, run: SubmissionRun, stage: Callable[[], None]) -> bool:
        """Carry out a stage of a submission and return whether it succeeded.

        Whatever fails in a worker ends that submission alone: it is finished with the error.
        """
        try:
            stage()
        except WorkerError as error:
            run.fail(error)
            self.finish(run)
            return False
        return True

    def finish(self, run: SubmissionRun) -> None:
        """Store the measurement of a submission whose last stage has ended."""
        self.record(run.planned, run.finish())

    def record(self, planned: PlannedSubmission, measurement: Measurement, *, reused: bool = False) -> None:
        """Keep a measurement for the table, and store it unless it was read from the store."""
        if not reused:
            self.store.save_measurement(measurement)
        self._finished[planned.submission.slug] = measurement
        self.progress.finish(planned.submission.slug, measurement, reused=reused)

    def measurements(self) -> list[MeasuredSubmission]:
        """Return what is finished, in the plan's order. This stays available after the context is closed."""
        return [
            MeasuredSubmission(planned, self._finished[planned.submission.slug])
            for planned in self.plan.submissions
            if planned.submission.slug in self._finished
        ]
