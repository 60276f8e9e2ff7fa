"""Carry out tasks of a run on the machine of a place, in a trusted process of that machine.

Stages, checks and sandbox are those of a run with one device. HR images come to this process, never to a worker.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data import Dataset
from harness.data.sent import SentDataset
from harness.engines.courteous import CourteousEngine
from harness.engines.remote import sent_folder
from harness.machine.quiet import QUIET_HOURS
from harness.results import Measurement, RunStore
from harness.run.context import RunContext
from harness.run.group_timing import time_group
from harness.run.group_upscaling import upscale_group
from harness.run.plan import Plan
from harness.run.planned import PlannedSubmission
from harness.run.progress import Progress
from harness.run.scheduler import Scheduler
from harness.run.submission_run import SubmissionRun
from harness.run.tasks import Briefing, Outcome, Report, Task, Timed
from harness.submissions.parcel import unpack
from harness.submissions.submission import Submission

# The oldest reports are dropped if the controller does not ask for them in time.
_REPORTS: deque[Report] = deque(maxlen=10_000)
# Engines of running tasks, for `stop`, which is called in another thread.
_ENGINES: dict[int, CourteousEngine] = {}


def carry_out(briefing: Briefing, task: Task) -> Outcome:
    """Carry out a task and return what came of it.

    Raises
    ------
    HarnessError
        The run cannot continue here; failures of submissions are in the outcome.
    """
    scratch = Path(tempfile.mkdtemp(prefix="sr-harness-task-"))
    try:
        # From here on it is an ordinary run of one place whose folder is the scratch folder.
        plan = _plan_of(briefing, task, scratch)
        if briefing.crops is not None:
            (scratch / "crops").mkdir()
            (scratch / "crops" / "crops.json").write_bytes(briefing.crops)
            # A crop store uses a list of crops only if this file names its data set.
            (scratch / "crops" / "dataset").write_bytes(plan.dataset.fingerprint.encode())
        outcome = _carry_out(briefing, task, plan)
        _forget_stored(scratch)
        # The controller moves the files out of the scratch folder and removes it.
        if briefing.shares_files:
            outcome.folder = scratch
        else:
            outcome.files = {
                path.relative_to(scratch).as_posix(): path.read_bytes() for path in scratch.rglob("*") if path.is_file()
            }
    # WorkStopped is not an Exception.
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    if not briefing.shares_files:
        shutil.rmtree(scratch, ignore_errors=True)
    return outcome


def drain() -> list[Report]:
    """Return the reports of progress since the last call."""
    reports = []
    while _REPORTS:
        reports.append(_REPORTS.popleft())
    return reports


def stop() -> None:
    """End all workers of this process's tasks. The tasks end with WorkStopped."""
    for engine in list(_ENGINES.values()):
        engine.stop()


class SiteProgress(Progress):
    """Keeps what a task reports until the controller asks for it.

    Parameters
    ----------
    place
        Name of the place in messages.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    def stage(self, slug: str, stage: str, detail: str = "", *, done: float = 0.0, place: str = "") -> None:  # noqa: ARG002
        """Keep the report of a stage."""
        self._stages[slug] = stage
        self.stage_times.begin(slug, stage)
        _REPORTS.append(Report(self._place, slug, stage, detail, done))

    def timing(
        self, slug: str, process: int, processes: int, done: float, detail: str = "", *, place: str = ""  # noqa: ARG002
    ) -> None:  # fmt: skip
        """Keep the report of a timing."""
        self._stages[slug] = "time"
        self.stage_times.begin(slug, "time")
        _REPORTS.append(Report(self._place, slug, "time", detail, done, process, processes))

    def finish(self, slug: str, measurement: Measurement, *, reused: bool) -> None:  # noqa: ARG002
        """End the stage; the controller reports the end when it has stored the measurement."""
        self.stage_times.end()


def _carry_out(briefing: Briefing, task: Task, plan: Plan) -> Outcome:
    engine = CourteousEngine(briefing.engine)
    _ENGINES[id(engine)] = engine
    store = RunStore(plan.folder)
    if task.timed is not None:
        # As if an earlier run had been stopped after its timing: `Preparation` resumes from there.
        store.save_unfinished(task.timed.measurement)
    outcome = Outcome()
    try:
        with RunContext(plan, store, engine, SiteProgress(task.title), task.earlier) as context:
            scheduler = Scheduler(context)
            for group in scheduler.prepare_groups():
                if task.timed is None:
                    scheduler.retry_alone(_time(group, context, task, outcome))
                else:
                    _measure(group, context, task.timed)
    finally:
        del _ENGINES[id(engine)]
    # Raises if `stop` was called: measurements of workers that were killed are no failures of the submissions.
    engine.require_running()
    for planned, measurement in context.measurements():
        outcome.finished[planned.submission.slug] = _with_earlier_notes(measurement, task.timed)
    return outcome


def _time(group: list[SubmissionRun], context: RunContext, task: Task, outcome: Outcome) -> list[SubmissionRun]:
    """Time a group while nothing else runs on this machine, and end its workers."""
    context.engine.finish_own_work()  # it could not end while nothing else may work
    with QUIET_HOURS.quiet():
        begin = time.time()
        out_of_memory = time_group(group, context)
        span = begin, time.time()
    for run in group:
        if run.is_running:
            timing = run.measurement.timing
            if timing is not None:
                run.set_timing(timing.model_copy(update={"place": task.title, "span": span}))
            seconds = {"stage_seconds": context.seconds_of(run.planned, run.measurement)}
            measurement = run.measurement.model_copy(update=seconds)
            parts, regions = tuple(run.timed_parts), run.worker.regions
            outcome.timed[run.slug] = Timed(measurement, run.timed_output, parts, regions)
            # Another place may measure it, in a worker of its own.
            run.worker.close()
    return out_of_memory


def _measure(group: list[SubmissionRun], context: RunContext, timed: Timed) -> None:
    """Upscale with the network of a group, which was timed elsewhere, and check that it is the one that was timed."""
    for run in group:
        run.timed_output, run.timed_parts = timed.output, list(timed.parts)
        context.attempt(run, partial(_use_timed_form, run, context, timed))
    # Leaves out those that have just failed.
    upscale_group(group, context)


def _use_timed_form(run: SubmissionRun, context: RunContext, timed: Timed) -> None:
    """Let a network that was prepared in another form than the timed one take that form.

    Raises
    ------
    WorkerError
        It does not.
    """
    if run.is_timed:
        return
    # Its times were not taken over because the forms differ. The search for what can be collapsed has a time limit, and
    # finds less on a slower machine; what submitted code converts may differ in each process.
    run.worker.form, run.worker.regions = timed.form, timed.regions or ()
    run.worker.restart(context.engine)
    run.measurement = timed.measurement


def _with_earlier_notes(measurement: Measurement, timed: Timed | None) -> Measurement:
    """Return the measurement with the notes of the timing that it lacks: the network was prepared again meanwhile."""
    earlier = [] if timed is None else timed.measurement.notes
    lacking = [note for note in earlier if note not in measurement.notes]
    return measurement.model_copy(update={"notes": [*lacking, *measurement.notes]}) if lacking else measurement


def _plan_of(briefing: Briefing, task: Task, scratch: Path) -> Plan:
    """Return the plan of a run that has this task's submissions and place only, and keeps its files in `scratch`."""
    plan = briefing.plan
    return replace(
        plan,
        dataset=_courteous(plan.dataset),
        further=tuple(replace(one, dataset=_courteous(one.dataset)) for one in plan.further),
        device=task.place.device,
        places=(task.place,),
        folder=scratch,
        submissions=tuple(_laid_out(planned, task) for planned in task.submissions),
    )


@dataclass(frozen=True, slots=True)
class _CourteousPair:
    """A pair of images that is not read or degraded while another device of this machine times a network."""

    dataset: Dataset
    index: int

    def get(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        with QUIET_HOURS.work():
            return self.dataset.pair(self.index)


# One for all tasks, because figures of a data set are computed once for each object.
@lru_cache(maxsize=8)
def _courteous(dataset: Dataset) -> Dataset:
    return SentDataset(dataset, [_CourteousPair(dataset, index) for index in range(len(dataset))])


def _laid_out(planned: PlannedSubmission, task: Task) -> PlannedSubmission:
    """Return a submission with its files on this machine, where it is laid out once."""
    submission, parcel = planned.submission, task.parcels.get(planned.submission.slug)
    if parcel is None or not isinstance(submission, Submission):
        return planned
    # Named by its content, so that a later task of the same submission finds it.
    folder = sent_folder() / planned.content
    if not folder.is_dir():
        unpack(parcel.get(), folder)
    return replace(planned, submission=replace(submission, root=folder))


def _forget_stored(scratch: Path) -> None:
    """Remove from a task's folder what the outcome holds."""
    for name in ("measurements", "unfinished"):
        shutil.rmtree(scratch / name, ignore_errors=True)
