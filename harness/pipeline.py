"""The run, top to bottom.

discover -> plan -> (per submission, isolated:) load -> reparameterize -> count -> time -> upscale
         -> (controller:) quality -> score -> rank -> save -> report

Loading, reparameterizing and counting happen while :class:`harness.run.scheduler.Scheduler` forms groups of networks
that fit into memory together. What happens to one submission is in :mod:`harness.run.submission_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.engines import Engine, LocalEngine
from harness.report import build_report
from harness.results import Run, RunStore
from harness.run.assemble import Measured, RunFacts, assemble, score_and_rank
from harness.run.bicubic_reference import find_reference
from harness.run.context import RunContext
from harness.run.group_timing import time_group
from harness.run.group_upscaling import upscale_group
from harness.run.plan import Plan, RunRequest, discover_submissions, make_plan
from harness.run.progress import Listener, Progress
from harness.run.progress_file import ProgressFile
from harness.run.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a run leaves.

    Attributes
    ----------
    run
        The table.
    folder
        Where everything was written.
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
        What to run, on what, how.
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
    plan = make_plan(request, submissions)
    store = RunStore(plan.folder)
    began = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    with store.locked(fresh=request.fresh), ProgressFile(plan.folder) as file:
        measured, complete = _measure(plan, store, engine or LocalEngine(), Progress([*listeners, file]))
        warnings = _settle_crops(plan, measured) if complete else []
        reference = find_reference(plan, store)
        board = score_and_rank(plan, measured, reference)
        table = assemble(plan, measured, board, reference, RunFacts(began, complete, warnings))
        store.save_run(table, {planned.submission.slug: measurement for planned, measurement in measured})
        report = build_report(plan.folder)
    return FinishedRun(table, plan.folder, report)


def _measure(plan: Plan, store: RunStore, engine: Engine, progress: Progress) -> tuple[list[Measured], bool]:
    """Measure every submission, or reuse its stored measurement; return what there is, and whether it is all."""
    names = [(planned.submission.slug, planned.submission.name) for planned in plan.submissions]
    progress.start(names, len(plan.dataset), plan.protocol.budget_s, plan.protocol.processes)
    complete = True
    with RunContext(plan, store, engine, progress) as context:
        scheduler = Scheduler(context)
        try:
            for group in scheduler.groups():  # loads, reparameterizes and counts
                out_of_memory = time_group(group, context)
                upscale_group(group, context)
                scheduler.retry_alone(out_of_memory)
        except KeyboardInterrupt:
            complete = False
    progress.end()
    return context.measurements(), complete


def _settle_crops(plan: Plan, measured: Sequence[Measured]) -> list[str]:
    """Keep the crops on which the submissions differ most; baselines have no say. Return what could not be kept."""
    crops = plan.crop_store()
    if crops is None:
        return []
    with_images = [planned.submission for planned, measurement in measured if measurement.images]
    crops.settle([submission.slug for submission in with_images if submission.kind == "submission"])
    why = "every model was measured before it was asked for; --fresh measures again"
    return [f"no crop of {one.image} at {one.x},{one.y}: {why}" for one in crops.unseen()]
