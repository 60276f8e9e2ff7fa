"""From measurements to the table that ``results.json`` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness import __version__
from harness.faults import concerns_the_run, worker_error
from harness.quality import get_convention
from harness.results import ErrorInfo, Measurement, Run, combine
from harness.results.backend_rows import BackendRow
from harness.results.measurement import TimingRecord
from harness.results.run_info import DatasetInfo, RunInfo
from harness.results.schema import Entry
from harness.run.bicubic_reference import BicubicReference
from harness.run.context import MeasuredSubmission
from harness.run.datasets import LabelledDataset
from harness.run.further_quality import labelled
from harness.run.plan import Plan, PlannedSubmission
from harness.statistics.backend_choice import OnBackend, choose_backend
from harness.statistics.disturbances import find_disturbances, foreign_load
from harness.statistics.process_spread import ProcessSpread, spread_info
from harness.statistics.runtime_summary import anchor_level, process_spread, relative_times, summarise_record
from harness.submissions.discovery import BrokenSubmission
from harness.submissions.names import namesakes
from harness.text import printable, single_line
from harness.timing import caution
from harness.tracks import Candidate, make_leaderboard, track_info
from harness.tracks.scoring import Leaderboard, ScoringRules, inexact_scores

_REFERENCE = "Bicubic"  # the baseline that the score subtracts


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """When a run began, how it ended, and what concerns it as a whole.

    Attributes
    ----------
    began
        ISO 8601 with time zone.
    complete
        False if the run was interrupted.
    warnings
        Remarks on the whole table, in addition to those of the measurements.
    stage_seconds
        Seconds of the stages that belong to no submission.
    """

    began: str
    complete: bool
    warnings: Sequence[str] = ()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)


def score_and_rank(plan: Plan, measured: Sequence[MeasuredSubmission], reference: BicubicReference) -> Leaderboard:
    """Return the rows of the table, scored, ranked and in order, and the comparison of every pair of ranked rows."""
    # All rows at once first, because the anchor's level, the spread, ties and ranks depend on all of them.
    try:
        return _board(plan, measured, reference)
    except Exception as error:
        if concerns_the_run(error):
            raise
        # A row with figures that the formula cannot take must not cost the other rows their scores. Find it by scoring
        # each row alone, and score the table again with that row as a failed one.
        rows = [_scorable(plan, one, reference) for one in measured]
        if rows == list(measured):  # no row causes it alone
            raise
        return _board(plan, rows, reference)


def _board(plan: Plan, measured: Sequence[MeasuredSubmission], reference: BicubicReference) -> Leaderboard:
    records = _records(measured)
    # What the times of all rows share: the anchor's median, and what processes of one network differ by.
    anchor_ms, spread = anchor_level(records), process_spread(records)
    noted = _with_namesakes(measured)
    candidates = [_candidate(plan, planned, m, anchor_ms, spread) for planned, m in noted]
    rules = ScoringRules(
        track=plan.track,
        bicubic_psnr=reference.psnr,
        statistic=plan.protocol.statistic,
        backend=plan.request.backend,
        bicubic_by_dataset=reference.by_dataset,
    )
    return make_leaderboard(candidates, rules)


def _scorable(plan: Plan, one: MeasuredSubmission, reference: BicubicReference) -> MeasuredSubmission:
    """Return a row as it is, or as a failed one without figures if it cannot be scored even by itself."""
    try:
        _board(plan, [one], reference)
    except Exception as error:
        # Baselines are the harness's own: a baseline that cannot be scored is a fault of the harness.
        if concerns_the_run(error) or one.planned.submission.kind == "baseline":
            raise
        fault = worker_error(error, "score")
        reason = ErrorInfo(stage=fault.stage, type=fault.kind, message=str(fault), log=fault.log)
        empty = Measurement.empty(one.planned.fingerprint, one.planned.backend)
        return MeasuredSubmission(one.planned, empty.model_copy(update={"status": "failed", "error": reason}))
    return one


def assemble(
    plan: Plan,
    measured: Sequence[MeasuredSubmission],
    board: Leaderboard,
    reference: BicubicReference,
    outcome: RunOutcome,
) -> Run:
    """Return the content of ``results.json``.

    Parameters
    ----------
    plan
        What the run is.
    measured
        Every submission with what was measured of it.
    board
        The rows and their comparisons, from :func:`score_and_rank`.
    reference
        What the score subtracts.
    outcome
        When the run began, and how it ended.
    """
    records = _records(measured)
    processes = process_spread(records)
    spread = spread_info(processes)
    disturbances = find_disturbances(board.entries, records, spread)
    return Run(
        run=_run_info(plan, outcome),
        track=track_info(plan.track, reference.psnr, reference.source, board.entries),
        dataset=_dataset_info(plan, reference),
        datasets=_dataset_infos(plan, reference),
        device=plan.device,
        protocol=plan.protocol_info(),
        process_spread=spread,
        entries=board.entries,
        comparisons=board.comparisons,
        backends=_backend_rows(plan, measured, board.entries, processes),
        foreign_load=foreign_load(records),
        disturbances=disturbances,
        warnings=[
            *(one.sentence for one in disturbances),
            *_warnings(plan, measured, reference, outcome),
            *inexact_scores(board.entries),
        ],
    )


def _backend_rows(
    plan: Plan, measured: Sequence[MeasuredSubmission], entries: Sequence[Entry], spread: ProcessSpread
) -> list[BackendRow]:
    """Return which backend each submission should use; empty in a run with one backend."""
    if not plan.request.further_backends:
        return []
    by_slug = {entry.slug: entry for entry in entries}
    rows: dict[str, list[OnBackend]] = {}
    for planned, measurement in measured:
        submission = planned.submission
        if submission.kind == "baseline":
            continue
        entry = by_slug[submission.slug]
        one = OnBackend(
            planned.backend,
            submission.slug,
            psnr=getattr(entry, plan.track.metric) if entry.status == "ok" else None,
            runtime_ms=getattr(entry.runtime_ms, plan.protocol.statistic) if entry.runtime_ms else None,
            timing=measurement.timing,
        )
        # Grouped by the slug of the row on the first backend, whose `variant_of` is empty.
        rows.setdefault(planned.variant_of or submission.slug, []).append(one)
    # Names of the rows on the first backend, without the suffix of a backend.
    names = dict(plan.names)
    return [choose_backend(single_line(names[slug], 300), slug, tried, spread) for slug, tried in rows.items()]


def with_images_of_all_datasets(plan: Plan, measured: Sequence[MeasuredSubmission]) -> list[MeasuredSubmission]:
    """Return the measurements with the images of all data sets of the run."""
    return [one._replace(measurement=labelled(plan, one.measurement)) for one in measured]


def _dataset_info(plan: Plan, reference: BicubicReference) -> DatasetInfo:
    """Return the description of the run's data set, or a summary of several."""
    if not plan.further:
        return _info_of(LabelledDataset("", plan.dataset), None)
    parts = _dataset_infos(plan, reference)
    return DatasetInfo(
        name=" + ".join(part.name for part in parts),
        images=plan.image_count,
        # Includes the labels: the same folders in other roles are another data set.
        fingerprint=combine({part.label: part.fingerprint for part in parts}),
        degradation="; ".join(dict.fromkeys(part.degradation for part in parts)),
        lr="; ".join(f"{part.label}: {part.lr}" for part in parts),
        hr_cut="; ".join(f"{part.label}: {part.hr_cut}" for part in parts if part.hr_cut),
        # The same form as in `further_quality.labelled`, by which figures and images are related.
        image_names=[f"{part.label}/{name}" for part in parts for name in part.image_names],
    )


def _dataset_infos(plan: Plan, reference: BicubicReference) -> list[DatasetInfo]:
    if not plan.further:
        return []
    return [_info_of(one, reference.by_dataset[one.label]) for one in plan.datasets]


def _info_of(one: LabelledDataset, bicubic_psnr: float | None) -> DatasetInfo:
    return DatasetInfo(
        name=one.dataset.name,
        images=len(one.dataset),
        fingerprint=one.dataset.fingerprint,
        degradation=one.dataset.degradation.description,
        lr=one.dataset.lr_source,
        hr_cut=one.dataset.hr_cut(),
        image_names=list(one.dataset.names),
        label=one.label,
        bicubic_psnr=bicubic_psnr,
    )


def _with_namesakes(measured: Sequence[MeasuredSubmission]) -> list[MeasuredSubmission]:
    """Return the measurements with a note on those whose name a reader could take for another row's."""
    by_kind: dict[str, dict[str, str]] = {"baseline": {}, "submission": {}}
    for planned, _ in measured:
        by_kind[planned.submission.kind][planned.submission.slug] = planned.submission.name
    notes = namesakes(by_kind["submission"], by_kind["baseline"])
    return [
        MeasuredSubmission(planned, m.model_copy(update={"notes": [*m.notes, notes[planned.submission.slug]]}))
        if planned.submission.slug in notes
        else MeasuredSubmission(planned, m)
        for planned, m in measured
    ]


def _records(measured: Sequence[MeasuredSubmission]) -> list[TimingRecord]:
    return [measurement.timing for _, measurement in measured if measurement.timing is not None]


def _run_info(plan: Plan, outcome: RunOutcome) -> RunInfo:
    return RunInfo(
        id=plan.folder.name,
        created=outcome.began,
        harness_version=__version__,
        command=printable(plan.request.command, 10_000),
        complete=outcome.complete,
        convention=get_convention(plan.track.convention).sentence,
        further_conventions={name: get_convention(name).sentence for name in plan.request.conventions},
        stage_seconds={stage: round(seconds, 3) for stage, seconds in outcome.stage_seconds.items()},
    )


def _warnings(
    plan: Plan, measured: Sequence[MeasuredSubmission], reference: BicubicReference, outcome: RunOutcome
) -> list[str]:
    of_rows = [
        f"{single_line(planned.submission.name, 300)}: {warning}"
        for planned, measurement in measured
        for warning in _warnings_of_row(measurement)
    ]
    of_protocol = caution(plan.protocol, plan.device.kind)
    notes = [note for note in (plan.note, of_protocol) if note]
    return [*notes, *outcome.warnings, *reference.warnings, *of_rows]


def _warnings_of_row(measurement: Measurement) -> list[str]:
    """Return what concerns the whole run: a submission that broke the rules may have disturbed its neighbours."""
    violation = measurement.error if measurement.status == "disqualified" else None
    disqualified = [f"disqualified: {violation.first_line}"] if violation else []
    return [*measurement.warnings, *disqualified]


def _candidate(
    plan: Plan, planned: PlannedSubmission, measurement: Measurement, anchor_ms: float | None, spread: ProcessSpread
) -> Candidate:
    # Notes on the submission's files, which are no part of the stored measurement: other runs may share that.
    if planned.notes:
        measurement = measurement.model_copy(update={"notes": [*planned.notes, *measurement.notes]})
    submission, timing = planned.submission, measurement.timing
    candidate = Candidate(
        single_line(submission.name, 300),
        "",
        submission.kind,
        submission.slug,
        measurement,
        summarise_record(timing, plan.protocol.summary_rule, anchor_ms, spread) if timing else None,
        times=relative_times(timing, spread) if timing else None,
        content=planned.content,
        variant_of=planned.variant_of,
    )
    # It has no manifest, so nothing more is known than its name and why it failed.
    if isinstance(submission, BrokenSubmission):
        return candidate
    manifest = submission.manifest
    return replace(
        candidate,
        team=single_line(manifest.team, 200),
        published=manifest.published.get(f"x{plan.track.scale}"),
        reconstructed=manifest.reconstructed,
        about=manifest.about(),
        size_bytes=submission.weights_bytes(plan.track.scale),
        is_reference=submission.kind == "baseline" and submission.name == _REFERENCE,
    )
