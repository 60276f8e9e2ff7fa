"""The run, top to bottom.

discover -> plan -> (per submission, isolated:) load -> reparameterize -> count -> time -> upscale
         -> (controller:) quality -> score -> rank -> save -> report

The part in workers is in `harness.run.scheduler`, which also decides who is timed together, and in `harness.run.submission_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness import __version__
from harness.engines import Engine, LocalEngine
from harness.quality import get_convention
from harness.report import build_report
from harness.results import Measurement, Run, RunStore
from harness.results.schema import DatasetInfo, RunInfo, TrackInfo
from harness.run.bicubic_reference import Reference, find_reference
from harness.run.plan import Plan, PlannedSubmission, RunRequest, make_plan
from harness.run.progress import Listener, Progress
from harness.run.scheduler import Scheduler
from harness.statistics.process_spread import ProcessSpread, spread_info
from harness.statistics.runtime_summary import anchor_level, process_spread, relative_times, summarise_record
from harness.submissions.discovery import BrokenSubmission
from harness.text import printable
from harness.timing import caution
from harness.tracks import Candidate, make_leaderboard

_REFERENCE = "Bicubic"  # the baseline that the score subtracts


@dataclass(frozen=True, slots=True)
class Finished:
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


def run(request: RunRequest, listeners: Sequence[Listener] = (), engine: Engine | None = None) -> Finished:
    """Measure, score, rank and report a set of submissions.

    Submissions whose figures are already in the run's folder are not measured again. An interrupt (Ctrl-C) ends the
    run early: what was measured is scored, saved and reported, and marked as incomplete.

    Raises
    ------
    UsageError, DataError
        The run cannot begin.
    ResultsError
        The run's folder cannot be written.
    """
    plan = make_plan(request)
    store = RunStore(plan.folder)
    began = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    progress = Progress(listeners)
    with store.locked():
        if request.fresh:
            store.forget_measurements()
        names = [(planned.submission.slug, planned.submission.name) for planned in plan.submissions]
        progress.start(names, len(plan.dataset), plan.protocol.budget_s)
        measurements, complete = _measure_all(plan, store, engine or LocalEngine(), progress)
        progress.end()
        warnings = _settle_crops(plan, measurements) if complete else []
        reference = find_reference(plan, store)
        table = _assemble(plan, measurements, reference, began=began, complete=complete, warnings=warnings)
        store.save_run(table, {_slug(planned): m for planned, m in measurements})
        report = build_report(plan.folder)
    return Finished(table, plan.folder, report)


def _measure_all(
    plan: Plan, store: RunStore, engine: Engine, progress: Progress
) -> tuple[list[tuple[PlannedSubmission, Measurement]], bool]:
    """Measure every submission, or take it from the store; return what there is, and whether it is all."""
    bench = Scheduler(plan, store, engine, progress)
    try:
        for planned in plan.submissions:
            bench.take(planned)
        bench.measure()
    except KeyboardInterrupt:
        return bench.done(), False
    finally:
        bench.close()
    return bench.done(), True


def _settle_crops(plan: Plan, measurements: list[tuple[PlannedSubmission, Measurement]]) -> list[str]:
    """Keep the pieces on which the submissions differ most; baselines have no say. Return what could not be kept."""
    crops = plan.crop_store()
    if crops is None:
        return []
    crops.settle([_slug(one) for one, m in measurements if one.submission.kind == "submission" and m.images])
    why = "every model was measured before it was asked for; --fresh measures again"
    return [f"no crop of {one.image} at {one.x},{one.y}: {why}" for one in crops.unseen()]


def _slug(planned: PlannedSubmission) -> str:
    return planned.submission.slug


def _assemble(
    plan: Plan,
    measurements: list[tuple[PlannedSubmission, Measurement]],
    reference: Reference,
    *,
    began: str,
    complete: bool,
    warnings: list[str],
) -> Run:
    """Score, rank and describe: everything that goes into ``results.json``."""
    records = [m.timing for _, m in measurements if m.timing is not None]
    anchor_ms, spread = anchor_level(records), process_spread(records)
    candidates = [_candidate(plan, planned, measurement, anchor_ms, spread) for planned, measurement in measurements]
    board = make_leaderboard(candidates, plan.track, reference.psnr, plan.protocol.statistic, plan.request.backend)
    return Run(
        run=RunInfo(
            id=plan.folder.name,
            created=began,
            harness_version=__version__,
            command=printable(plan.request.command, 10_000),
            complete=complete,
            convention=get_convention(plan.track.convention).sentence,
            further_conventions={name: get_convention(name).sentence for name in plan.request.conventions},
        ),
        track=TrackInfo(
            name=plan.track.name,
            scale=plan.track.scale,
            score_formula=plan.track.score_formula,
            bicubic_psnr=reference.psnr,
            bicubic_source=reference.source,
        ),
        dataset=DatasetInfo(
            name=plan.dataset.name,
            images=len(plan.dataset),
            fingerprint=plan.dataset.fingerprint,
            degradation=plan.dataset.degradation.description,
            image_names=list(plan.dataset.names),
        ),
        device=plan.device,
        protocol=plan.protocol_info(),
        process_spread=spread_info(spread),
        entries=board.entries,
        comparisons=board.comparisons,
        warnings=[
            *filter(None, [caution(plan.protocol, plan.device.kind)]),
            *warnings,
            *reference.warnings,
            *(
                f"{printable(planned.submission.name, 300)}: {warning}"
                for planned, measurement in measurements
                for warning in _warnings(measurement)
            ),
        ],
    )


def _candidate(
    plan: Plan,
    planned: PlannedSubmission,
    measurement: Measurement,
    anchor_ms: float | None,
    spread: ProcessSpread,
) -> Candidate:
    submission = planned.submission
    timing = measurement.timing
    runtime = summarise_record(timing, plan.protocol.summary_rule, anchor_ms, spread) if timing else None
    times = relative_times(timing, spread) if timing else None
    candidate = Candidate(
        printable(submission.name, 300), "", submission.kind, submission.slug, measurement, runtime, times=times
    )
    if isinstance(submission, BrokenSubmission):
        return candidate
    manifest = submission.manifest
    return replace(
        candidate,
        team=manifest.team,
        published=manifest.published.get(f"x{plan.track.scale}"),
        reconstructed=manifest.reconstructed,
        is_reference=submission.kind == "baseline" and submission.name == _REFERENCE,
    )


def _warnings(measurement: Measurement) -> list[str]:
    """Return what a reader of the whole run must know of one row: a foul may have touched its neighbours."""
    foul = measurement.error if measurement.status == "disqualified" else None
    return [*measurement.warnings, *([f"disqualified: {foul.message.splitlines()[0]}"] if foul else [])]
