"""What commands print with ``--json``. The docstring under each attribute is its description in the JSON Schema.

``harness run --json`` prints ``results.json``, see :mod:`harness.results.schema`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness.results.comparison import FigureShift, RunComparison
from harness.results.record import Interval, Record, Status
from harness.results.run_info import DeviceInfo, ProtocolInfo
from harness.results.schema import ErrorInfo, Roofline, Run, Runtime

if TYPE_CHECKING:
    from harness.analysis.choose import Choice
    from harness.analysis.compare_models import ModelComparison
    from harness.machine.diagnostic import Diagnostic
    from harness.run.checking import Check
    from harness.run.time_only import Times


class TimedRow(Record):
    """One network of ``harness time``."""

    name: str
    runtime_ms: Runtime | None
    """None if it failed."""
    params: int | None
    macs: int | None
    """Multiply-accumulates of one forward pass at the track's size."""
    macs_are_lower_bound: bool
    peak_memory_bytes: int | None
    build_s: float | None
    """Seconds that the backend took to build what is called; None if it builds nothing."""
    roofline: Roofline | None
    error: ErrorInfo | None
    """Why there is no runtime."""


class TimeOutput(Record):
    """The output of ``harness time --json``."""

    device: DeviceInfo
    protocol: ProtocolInfo
    caution: str | None
    """A limitation of all times."""
    rows: list[TimedRow]


class FindingForm(Record):
    """The result of one check."""

    level: Literal["ok", "warn", "error"]
    what: str
    hint: str
    """How to fix it; empty if there is nothing to do."""


class CheckForm(Record):
    """The findings for one submission at one scale."""

    name: str
    scale: int | None
    """None if the submission could not be read."""
    passed: bool
    findings: list[FindingForm]
    log: str
    """What the submission printed, if it failed."""


class CheckOutput(Record):
    """The output of ``harness check --json``."""

    passed: bool
    """Whether all checks passed."""
    checks: list[CheckForm]


class DiagnosticForm(Record):
    """One property of the machine."""

    name: str
    value: str
    level: Literal["ok", "warn", "missing"]
    """``warn`` if it makes times unreliable; ``missing`` if an isolation mechanism is unavailable."""
    hint: str
    """How to improve it; empty if there is nothing to do."""


class DoctorOutput(Record):
    """The output of ``harness doctor --json``."""

    device: DeviceInfo
    diagnostics: list[DiagnosticForm]


class ComparedFigure(Record):
    """One figure of two models."""

    figure: str
    """``psnr_rgb``, ``psnr_y``, ``ssim_rgb``, ``ssim_y``, ``runtime``, and ``score`` or ``score_log10``."""
    unit: str
    """Of the two figures: ``dB``, ``ms`` or empty."""
    first: float
    second: float
    difference: float
    """The first minus the second; for the runtime in per cent of the second."""
    ci: Interval | None
    """95 % interval of the difference; None if it is unknown."""
    p_value: float
    """Corrected for the number of pairs that are tested."""
    basis: str
    """The data that the interval is computed from."""


class CompareModelsOutput(Record):
    """The output of ``harness compare --models A B --json``."""

    models: tuple[str, str]
    figures: list[ComparedFigure]
    remarks: list[str]
    """Why figures are left out."""


class Shift(Record):
    """One figure before and after."""

    before: float
    after: float
    significant: bool | None
    """None if there are no data to decide it, or if the figures cannot be compared."""
    comparable: bool
    """Whether the conditions of the runs allow a comparison."""


class ChangedModel(Record):
    """A model that both runs contain."""

    name: str
    slug: str
    status: tuple[Status, Status]
    """Before and after."""
    score: Shift | None
    """Of its decimal logarithm where scores may exceed float64."""
    psnr: Shift | None
    runtime_ms: Shift | None


class ChangedCondition(Record):
    """A condition that differs between the runs."""

    what: str
    before: str
    after: str
    invalidates: str
    """Which figures cannot be compared because of it; empty if all can."""


class CompareRunsOutput(Record):
    """The output of ``harness compare BEFORE AFTER --json``."""

    before: str
    """Identifier of the run."""
    after: str
    metric: str
    """Which PSNR the track scores."""
    conditions: list[ChangedCondition]
    models: list[ChangedModel]
    added: list[str]
    """Names of models that only the later run contains."""
    removed: list[str]


class ScoreOutput(Record):
    """The output of ``harness score --json``."""

    track: str
    score: float
    """At most 1e300; `score_log10` holds for larger ones, too."""
    score_log10: float | None
    """Decimal logarithm of the score; None if the score is 0."""
    formula: str
    figures: dict[str, float]
    """The figures that were used, in base units."""
    parts: dict[str, float | None]
    """Parts of the score by name; None for one beyond the range of float64."""
    notes: list[str]
    """Doubts about units, and whether the gates of the ranking are passed."""


class ChoiceRow(Record):
    """A network that fits the limits of ``harness choose``."""

    name: str
    slug: str
    backend: str
    """How it was executed."""
    value: float
    """The figure by which networks are chosen."""
    runtime_ms: float
    fps: float
    peak_memory_bytes: int | None
    energy_j: float | None
    """Joules per frame; None if it was not measured."""
    surely: bool
    """Whether it is fast enough at the slow end of its runtime's interval, too."""
    in_front: bool
    """Whether no network is both better and at least as fast."""


class ChooseOutput(Record):
    """The output of ``harness choose --json``."""

    by: str
    fitting: list[ChoiceRow]
    """Best first."""
    left_out: dict[str, str]
    """Why other networks do not fit, by name."""


def time_output(times: Times) -> TimeOutput:
    """Convert the result of ``harness time``."""
    rows = [
        TimedRow(
            name=row.name,
            runtime_ms=row.runtime,
            params=row.params,
            macs=row.macs,
            macs_are_lower_bound=row.macs_are_lower_bound,
            peak_memory_bytes=row.peak_memory_bytes,
            build_s=row.build_s,
            roofline=row.roofline,
            error=row.error,
        )
        for row in times.rows
    ]
    return TimeOutput(device=times.device, protocol=times.protocol, caution=times.caution, rows=rows)


def check_output(checks: Sequence[Check]) -> CheckOutput:
    """Convert the result of ``harness check``."""
    forms = [
        CheckForm(
            name=one.name,
            scale=one.scale,
            passed=one.passed,
            findings=[FindingForm(level=f.level, what=f.what, hint=f.hint) for f in one.findings],
            log=one.log,
        )
        for one in checks
    ]
    return CheckOutput(passed=all(one.passed for one in checks), checks=forms)


def doctor_output(device: DeviceInfo, diagnostics: Sequence[Diagnostic]) -> DoctorOutput:
    """Convert the result of ``harness doctor``."""
    forms = [DiagnosticForm(name=d.name, value=d.value, level=d.level, hint=d.hint) for d in diagnostics]
    return DoctorOutput(device=device, diagnostics=forms)


def compare_models_output(comparison: ModelComparison) -> CompareModelsOutput:
    """Convert the comparison of two models."""
    figures = [
        ComparedFigure(
            figure=row.figure,
            unit=row.unit,
            first=row.first,
            second=row.second,
            difference=row.difference.value,
            # JSON has no infinity.
            ci=row.difference.ci if all(map(math.isfinite, row.difference.ci)) else None,
            p_value=row.corrected_p_value,
            basis=row.basis,
        )
        for row in comparison.rows
    ]
    return CompareModelsOutput(models=comparison.names, figures=figures, remarks=comparison.remarks)


def compare_runs_output(comparison: RunComparison) -> CompareRunsOutput:
    """Convert the comparison of two runs."""
    models = [
        ChangedModel(
            name=change.after.name,
            slug=change.after.slug,
            status=(change.before.status, change.after.status),
            score=_shift(change.score),
            psnr=_shift(change.psnr),
            runtime_ms=_shift(change.runtime),
        )
        for change in comparison.changes
    ]
    return CompareRunsOutput(
        before=comparison.before.run.run.id,
        after=comparison.after.run.run.id,
        metric=comparison.metric,
        conditions=[
            ChangedCondition(what=c.what, before=c.before, after=c.after, invalidates=c.invalidates)
            for c in comparison.conditions
        ],
        models=models,
        added=[entry.name for entry in comparison.added],
        removed=[entry.name for entry in comparison.removed],
    )


def _shift(shift: FigureShift | None) -> Shift | None:
    if shift is None:
        return None
    return Shift(before=shift.before, after=shift.after, significant=shift.significant, comparable=shift.comparable)


def choose_output(choice: Choice) -> ChooseOutput:
    """Convert the result of ``harness choose``."""
    rows = [
        ChoiceRow(
            name=one.entry.name,
            slug=one.entry.slug,
            backend=one.entry.backend,
            value=one.value,
            runtime_ms=one.runtime_ms,
            fps=1000 / one.runtime_ms,
            peak_memory_bytes=one.entry.peak_memory_bytes,
            energy_j=one.entry.energy.joules if one.entry.energy else None,
            surely=one.surely,
            in_front=one.in_front,
        )
        for one in choice.fitting
    ]
    return ChooseOutput(by=choice.by, fitting=rows, left_out={entry.name: why for entry, why in choice.left_out})


FORMS: dict[str, type[Record]] = {
    "run": Run,
    "time": TimeOutput,
    "check": CheckOutput,
    "doctor": DoctorOutput,
    "compare": CompareRunsOutput,
    "compare-models": CompareModelsOutput,
    "score": ScoreOutput,
    "choose": ChooseOutput,
}
"""The form that each command prints, by the name that ``harness schema`` takes."""
