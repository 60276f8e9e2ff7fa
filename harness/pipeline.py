"""The run, top to bottom.

discover -> plan -> (per submission, isolated:) load -> reparameterize -> count -> time -> upscale
         -> (controller:) quality -> score -> rank -> save -> report

The controller is this process; a submission's code runs in worker processes. :func:`run` calls the steps:

1. discover and plan: :func:`discover_submissions` and :func:`make_plan`. No submitted code is loaded.
2. load, reparameterize and count: ``prepare_groups`` of :class:`harness.run.scheduler.Scheduler` does this for one
   submission after another, and groups networks that fit into memory together.
3. time: :func:`time_group` times the networks of a group.
4. upscale: :func:`upscale_group` lets each network of the group upscale the data set while the controller compares the
   outputs with HR. Each submission's measurement is then complete and stored.
5. score, rank and save: :func:`score_and_rank`, :func:`assemble` and ``save_run``, when all groups are done.
6. report: :func:`rebuild_report` makes the pages from the files of the run, unless nothing has changed.

What steps 2 to 4 do with one submission is in :mod:`harness.run.submission_run`.

A *place* is a device of a machine on which workers run. A run on several places, or on machines that do not see this
one's files, takes steps 2 to 4 on all of them at the same time: :mod:`harness.run.everywhere`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.engines import Engine, LocalEngine
from harness.report.rebuild import loaded_code, rebuild_report
from harness.results import Run, RunStore
from harness.results.store import stored_if_equal
from harness.run.assemble import RunOutcome, assemble, score_and_rank, with_images_of_all_datasets
from harness.run.bicubic_reference import BicubicReference, find_bicubic_reference
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
from harness.run.stage_times import WHOLE_RUN


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
    run early: what was measured is scored, saved and reported, and marked as incomplete. If nothing was measured, the
    results of an earlier run in the folder stay as they are, and KeyboardInterrupt is raised.

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
    loaded_code()  # before anything else: a run takes hours, in which the code may be replaced
    submissions = discover_submissions(request)
    engine = engine or LocalEngine()
    plan = make_plan(request, submissions, engine)
    store = RunStore(plan.folder)
    began = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    # The lock keeps other runs out of the folder. If the folder is removed nevertheless, Rescue saves what was
    # measured elsewhere.
    with store.locked(fresh=request.fresh), Rescue(store).watching(), ProgressFile(plan.folder) as progress_file:
        progress = Progress([*listeners, progress_file])
        measured, complete = _measure(plan, store, engine, progress)
        if not measured and (plan.folder / "results.json").is_file():
            raise KeyboardInterrupt("nothing was measured, and the results of the run before are left as they are")
        warnings = _choose_crops(plan, measured) if complete else []
        outcome = RunOutcome(began, complete, warnings, stage_seconds=progress.stage_times.of(WHOLE_RUN))
        saved = _score_rank_and_save_all(plan, store, measured, outcome)
        report = rebuild_report(plan.folder)
    return FinishedRun(saved, plan.folder, report)


def _score_rank_and_save_all(
    plan: Plan, store: RunStore, measured: Sequence[MeasuredSubmission], outcome: RunOutcome
) -> Run:
    """Make the tables of the run and return the main one, which is the only one unless devices differ in speed."""
    bicubic = find_bicubic_reference(plan, store)
    measured = with_images_of_all_datasets(plan, measured)
    # Times of devices that are not equally fast are never ranked together: the others' rows get tables of their own.
    main, *others = tables_by_device(measured)
    for folder in (plan.folder / "tables").glob("*"):  # of an earlier run
        is_table = (folder / "results.json").is_file()  # and not something that the user keeps there
        if is_table and folder.relative_to(plan.folder).as_posix() not in {table.folder for table in others}:
            shutil.rmtree(folder, ignore_errors=True)
    for table in others:
        in_its_folder = replace(plan, folder=plan.folder / table.folder)
        _score_rank_and_save(in_its_folder, table, bicubic, replace(outcome, warnings=(), stage_seconds={}))
        rebuild_report(in_its_folder.folder)
    return _score_rank_and_save(plan, main, bicubic, outcome)


def _score_rank_and_save(plan: Plan, table: DeviceTable, bicubic: BicubicReference, outcome: RunOutcome) -> Run:
    """Score and rank the rows of one table, write it to the plan's folder, and return it."""
    outcome = replace(outcome, warnings=[*outcome.warnings, *table.warnings])
    board = score_and_rank(plan, table.measured, bicubic)
    run = stored_if_equal(assemble(plan, table.measured, board, bicubic, outcome), plan.folder)
    RunStore(plan.folder).save_run(run, {planned.submission.slug: measured for planned, measured in table.measured})
    return run


def _measure(plan: Plan, store: RunStore, engine: Engine, progress: Progress) -> tuple[list[MeasuredSubmission], bool]:
    """Measure every submission, or reuse its stored measurement.

    Returns
    -------
    tuple
        The submissions that are finished, in the plan's order, and whether these are all.
    """
    progress.start(
        plan.names,
        plan.image_count,
        timing_s=plan.protocol.budget_s,
        processes=plan.protocol.processes,
        places=len(plan.places),
        note=plan.note,
    )
    complete = True
    context = RunContext(plan, store, engine, progress)
    try:
        with context:
            # Machines that do not see this one's files are sent theirs, which only the steps for several places do.
            if len(plan.places) > 1 or not engine.shares_files:
                measure_everywhere(context, engine)
            else:
                _measure_here(context)
    except KeyboardInterrupt:
        # What is finished is scored and reported. Times of unfinished networks are stored for the next run. Caught out
        # here, so that the context does not wait for what it does in the background.
        complete = False
        context.record_stored()
    progress.end()
    return context.measurements(), complete


def _measure_here(context: RunContext) -> None:
    """Measure on the only place of the run: one group after another goes through all steps.

    A submission that fails in any step is finished there and then, and is left out by the steps after it.
    """
    scheduler = Scheduler(context)
    for group in scheduler.prepare_groups():  # load, reparameterize, count
        ran_out_of_memory = time_group(group, context)
        upscale_group(group, context)  # also finishes each submission: its measurement is stored
        # Their workers have ended, so upscale_group left them out. The scheduler prepares them again.
        scheduler.retry_alone(ran_out_of_memory)


def _choose_crops(plan: Plan, measured: Sequence[MeasuredSubmission]) -> list[str]:
    """Choose the parts of images that the report shows enlarged: those on which the submissions differ most.

    Candidates were stored while the networks upscaled. Returns a warning for each crop that the user asked for and that
    could not be stored.
    """
    crops = plan.crop_store()
    if crops is None:
        return []
    # Rows of a network on further backends have no crops of their own, and baselines differ from every network.
    compared = [
        planned.submission.slug
        for planned, measurement in measured
        if measurement.images and not planned.variant_of and planned.submission.kind == "submission"
    ]
    crops.keep_most_disputed(compared)
    reason = "every model was measured before the crop was requested; --fresh measures again"
    return [f"no crop of {crop.image} at {crop.x},{crop.y}: {reason}" for crop in crops.unseen()]
