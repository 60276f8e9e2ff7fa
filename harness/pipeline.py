"""The run, top to bottom.

discover -> plan -> (per submission, isolated:) load -> reparameterize -> count -> time -> upscale
         -> (controller:) quality -> score -> rank -> save -> report

The controller is this process; a submission's code runs in worker processes. A submission is loaded,
reparameterized and counted while :class:`harness.run.scheduler.Scheduler` groups networks that fit into memory
together. Each group is timed, then upscales the data set while the controller compares the outputs with HR. What
happens to one submission is in :mod:`harness.run.submission_run`.

With several devices, :mod:`harness.run.everywhere` has the same stages carried out on all of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.engines import Engine, LocalEngine
from harness.report import build_report
from harness.results import Run, RunStore
from harness.run.assemble import RunFacts, assemble, score_and_rank, with_all_images
from harness.run.bicubic_reference import Reference, find_reference
from harness.run.context import MeasuredSubmission, RunContext
from harness.run.device_tables import DeviceTable, tables_by_device
from harness.run.everywhere import measure_everywhere
from harness.run.group_timing import time_group
from harness.run.group_upscaling import upscale_group
from harness.run.plan import Plan, RunRequest, discover_submissions, make_plan
from harness.run.progress import Listener, Progress
from harness.run.progress_file import ProgressFile
from harness.run.rescue import Rescue
from harness.run.scheduler import Scheduler
from harness.run.stage_times import UNNAMED


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Result of :func:`run`.

    Attributes
    ----------
    run
        The ranked rows with the conditions of the run: the content of ``results.json``.
    folder
        Folder of all files.
    report
        The leaderboard's HTML file.
    """

    run: Run
    folder: Path
    report: Path


def run(request: RunRequest, listeners: Sequence[Listener] = (), engine: Engine | None = None) -> FinishedRun:
    """Measure, score, rank and report a set of submissions.

    Submissions whose figures are already in the run's folder are not measured again. An interrupt (Ctrl-C) ends the
    run early: what was measured is scored, saved and reported, and marked as incomplete.

    Parameters
    ----------
    request
        Submissions, data set, track, device, protocol and options.
    listeners
        Called with every progress event.
    engine
        Starts workers; on this machine by default.

    Raises
    ------
    UsageError, DataError
        The run cannot begin.
    ResultsError
        The run's folder cannot be written.
    """
    submissions = discover_submissions(request)
    engine = engine or LocalEngine()
    plan = make_plan(request, submissions, engine)
    store = RunStore(plan.folder)
    began = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    with store.locked(fresh=request.fresh), Rescue(store).watching(), ProgressFile(plan.folder) as progress_file:
        progress = Progress([*listeners, progress_file])
        measured, complete = _measure(plan, store, engine, progress)
        warnings = _choose_crops(plan, measured) if complete else []
        measured = with_all_images(plan, measured)
        reference = find_reference(plan, store)
        own, *others = tables_by_device(measured)
        shutil.rmtree(plan.folder / "tables", ignore_errors=True)  # of an earlier run
        for table in others:
            _save_table(replace(plan, folder=plan.folder / table.folder), table, reference, RunFacts(began, complete))
        facts = RunFacts(began, complete, [*warnings, *own.warnings], progress.stage_times.of(UNNAMED))
        saved = _save_table(plan, own, reference, facts)
        report = build_report(plan.folder)
    return FinishedRun(saved, plan.folder, report)


def _save_table(plan: Plan, table: DeviceTable, reference: Reference, facts: RunFacts) -> Run:
    """Score and rank the rows of one table, write it to the plan's folder, and return it."""
    board = score_and_rank(plan, table.measured, reference)
    run = assemble(plan, table.measured, board, reference, facts)
    RunStore(plan.folder).save_run(run, {planned.submission.slug: measured for planned, measured in table.measured})
    if table.folder:
        build_report(plan.folder)
    return run


def _measure(plan: Plan, store: RunStore, engine: Engine, progress: Progress) -> tuple[list[MeasuredSubmission], bool]:
    """Measure every submission, or reuse its stored measurement; return what there is, and whether it is all."""
    protocol = plan.protocol
    progress.start(plan.names, plan.image_count, protocol.budget_s, protocol.processes, len(plan.places), plan.note)
    complete = True
    with RunContext(plan, store, engine, progress) as context:
        try:
            if len(plan.places) > 1 or not engine.shares_files:
                measure_everywhere(context, engine)
            else:
                _measure_here(context)
        except KeyboardInterrupt:
            # What is finished is scored and reported. Times of unfinished networks are stored for the next run.
            complete = False
    progress.end()
    return context.measurements(), complete


def _measure_here(context: RunContext) -> None:
    """Measure on the one place of the run, where every submission goes through all stages before the next group."""
    scheduler = Scheduler(context)
    for group in scheduler.groups():  # loads, reparameterizes and counts
        ran_out_of_memory = time_group(group, context)
        upscale_group(group, context)  # all but those that ran out of memory
        scheduler.retry_alone(ran_out_of_memory)


def _choose_crops(plan: Plan, measured: Sequence[MeasuredSubmission]) -> list[str]:
    """Choose the crops on which the submissions, without baselines, differ most; return warnings for missing ones."""
    crops = plan.crop_store()
    if crops is None:
        return []
    with_images = [planned for planned, measurement in measured if measurement.images and not planned.variant_of]
    crops.settle([one.submission.slug for one in with_images if one.submission.kind == "submission"])
    reason = "every model was measured before the crop was requested; --fresh measures again"
    return [f"no crop of {crop.image} at {crop.x},{crop.y}: {reason}" for crop in crops.unseen()]
