"""The detailed result that Codabench shows beside a submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness import __version__
from harness.codabench.columns import score_columns
from harness.codabench.record import Measured
from harness.codabench.results_only import Statement
from harness.codabench.settings import Settings
from harness.quality import get_convention
from harness.results.measurement import ImageQuality
from harness.results.record import Statistic
from harness.results.schema import Entry
from harness.tracks import Track


@dataclass(frozen=True, slots=True)
class Detail:
    """What the page is made from; see `harness.codabench.scoring.Judged`."""

    settings: Settings
    track: Track
    entry: Entry
    images: Sequence[ImageQuality]
    statistic: Statistic
    measured: Measured | None
    statement: Statement | None


def result_page(detail: Detail, scores: Mapping[str, float]) -> str:
    """Return the page of a scored submission."""
    columns = score_columns(detail.track)
    # The same figures with the same decimals as the leaderboard of the competition.
    figures = [(one.title, f"{scores[one.key]:.{one.precision}f}") for one in columns if one.key in scores]
    sentence = get_convention(detail.track.convention).sentence
    return _environment().get_template("detailed.html").render(
        failure="", detail=detail, figures=figures, remarks=_remarks(detail), convention=sentence, version=__version__
    )  # fmt: skip


def failure_page(message: str) -> str:
    """Return the page of a submission that has no score."""
    template = _environment().get_template("detailed.html")
    return template.render(failure=message, detail=None, figures=[], remarks=[], convention="", version=__version__)


def _remarks(detail: Detail) -> list[str]:
    """Return what a reader must know of the figures."""
    entry, remarks = detail.entry, []
    if detail.measured is None:
        remarks.append("The runtime is what the authors state in readme.txt. It was not measured.")
    elif entry.runtime_ms is not None and not entry.runtime_ms.stable:
        remarks.append(f"The runtime is uncertain: {entry.runtime_ms.note or 'its samples are few or scattered'}.")
    if entry.score == 0 and entry.score_log10 is None:
        remarks.append("The score is 0 because the PSNR does not exceed that of bicubic interpolation.")
    if entry.incomplete_ops:
        remarks.append(f"Operations are a lower bound, without {', '.join(entry.incomplete_ops)}.")
    # Submitted images come without a run and without submitted code.
    run = None if detail.measured is None else detail.measured.run
    exposure = [] if detail.measured is None else detail.measured.exposure
    return [*remarks, *entry.notes, *([] if run is None else run.warnings), *exposure]


@cache
def _environment() -> Environment:
    loader = PackageLoader("harness.codabench")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
