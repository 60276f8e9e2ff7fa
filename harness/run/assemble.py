"""From measurements to the table that ``results.json`` holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness import __version__
from harness.quality import get_convention
from harness.results import Measurement, Run
from harness.results.run_info import DatasetInfo, RunInfo
from harness.run.bicubic_reference import Reference
from harness.run.context import MeasuredSubmission
from harness.run.plan import Plan, PlannedSubmission
from harness.statistics.process_spread import ProcessSpread, spread_info
from harness.statistics.runtime_summary import anchor_level, process_spread, relative_times, summarise_record
from harness.submissions.discovery import BrokenSubmission
from harness.submissions.names import namesakes
from harness.text import printable
from harness.timing import caution
from harness.tracks import Candidate, make_leaderboard, track_info
from harness.tracks.scoring import Leaderboard

_REFERENCE = "Bicubic"  # the baseline that the score subtracts


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run's description says of the run itself.

    Attributes
    ----------
    began
        ISO 8601 with time zone.
    complete
        False if the run was interrupted.
    warnings
        What a reader of the whole table must know, beside what the measurements say.
    """

    began: str
    complete: bool
    warnings: Sequence[str] = ()


def score_and_rank(plan: Plan, measured: Sequence[MeasuredSubmission], reference: Reference) -> Leaderboard:
    """Return the rows of the table, scored, ranked and in order, and the comparison of every pair of ranked rows."""
    anchor_ms, spread = _timing_context(measured)
    noted = _with_namesakes(measured)
    candidates = [_candidate(plan, planned, m, anchor_ms, spread) for planned, m in noted]
    return make_leaderboard(candidates, plan.track, reference.psnr, plan.protocol.statistic, plan.request.backend)


def assemble(
    plan: Plan, measured: Sequence[MeasuredSubmission], board: Leaderboard, reference: Reference, facts: RunFacts
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
    facts
        When the run began, and how it ended.
    """
    _, spread = _timing_context(measured)
    return Run(
        run=_run_info(plan, facts),
        track=track_info(plan.track, reference.psnr, reference.source, board.entries),
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
        warnings=_warnings(plan, measured, reference, facts),
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


def _timing_context(measured: Sequence[MeasuredSubmission]) -> tuple[float | None, ProcessSpread]:
    """Return what all rows' times share: the anchor's median, and what processes of one network differ by."""
    records = [m.timing for _, m in measured if m.timing is not None]
    return anchor_level(records), process_spread(records)


def _run_info(plan: Plan, facts: RunFacts) -> RunInfo:
    return RunInfo(
        id=plan.folder.name,
        created=facts.began,
        harness_version=__version__,
        command=printable(plan.request.command, 10_000),
        complete=facts.complete,
        convention=get_convention(plan.track.convention).sentence,
        further_conventions={name: get_convention(name).sentence for name in plan.request.conventions},
    )


def _warnings(plan: Plan, measured: Sequence[MeasuredSubmission], reference: Reference, facts: RunFacts) -> list[str]:
    of_rows = [
        f"{printable(planned.submission.name, 300)}: {warning}"
        for planned, measurement in measured
        for warning in _warnings_of_row(measurement)
    ]
    of_protocol = caution(plan.protocol, plan.device.kind)
    return [*([of_protocol] if of_protocol else []), *facts.warnings, *reference.warnings, *of_rows]


def _warnings_of_row(measurement: Measurement) -> list[str]:
    """Return what concerns the whole run: a submission that broke the rules may have disturbed its neighbours."""
    violation = measurement.error if measurement.status == "disqualified" else None
    disqualified = [f"disqualified: {violation.message.splitlines()[0]}"] if violation else []
    return [*measurement.warnings, *disqualified]


def _candidate(
    plan: Plan, planned: PlannedSubmission, measurement: Measurement, anchor_ms: float | None, spread: ProcessSpread
) -> Candidate:
    submission, timing = planned.submission, measurement.timing
    candidate = Candidate(
        printable(submission.name, 300),
        "",
        submission.kind,
        submission.slug,
        measurement,
        summarise_record(timing, plan.protocol.summary_rule, anchor_ms, spread) if timing else None,
        times=relative_times(timing, spread) if timing else None,
        content=planned.content,
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
