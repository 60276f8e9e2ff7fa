"""Progress and tables on the terminal: a live line where there is one to draw on, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.analysis.compare_models import ModelComparison
from harness.results import Entry, Measurement, Run
from harness.run.progress import ProgressEvent, StageProgress, SubmissionFinished

_STATUS_STYLE = {"ok": "green", "failed": "red", "disqualified": "red", "unsupported": "yellow"}
_COMPARISON_DIGITS = {"ssim_rgb": 5, "ssim_y": 5, "runtime": 2, "score": 2}
_QUIET_S = 10.0  # a log that says nothing for longer looks like a program that hangs


def describe_outcome(measurement: Measurement, *, reused: bool) -> str:
    """Return one line on how a submission ended."""
    if measurement.error is not None:
        return f"{measurement.status} at {measurement.error.stage}: {measurement.error.message.splitlines()[0]}"
    return "ok, unchanged since an earlier run" if reused else "ok"


class PlainProgress:
    """One line for each stage, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, event: ProgressEvent) -> None:
        """Print the event."""
        if isinstance(event, StageProgress):
            self._console.print(f"{event.name}: {event.stage} {event.detail}", markup=False, highlight=False)
        if isinstance(event, SubmissionFinished):
            line = describe_outcome(event.measurement, reused=event.reused)
            self._console.print(f"{event.name}: {line}", markup=False, highlight=False)


def make_progress(console: Console) -> PlainProgress:
    """Return what suits the console: a live bar on a terminal, plain lines elsewhere."""
    return PlainProgress(console)


def leaderboard_table(run: Run) -> Table:
    """Return the leaderboard as a table for the terminal."""
    title = f"{run.track.name} on {run.dataset.name} ({run.dataset.images} images), {run.device.name}"
    table = Table(
        title=title,
        caption=f"score: {run.track.score_formula}; ranks: those that the measurements leave possible (95 %)",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("#", "ranks", "model"):
        table.add_column(heading, no_wrap=True)
    for heading in ("score", "PSNR", "Δ bicubic", "PSNR-Y", "SSIM", "ms", "fps", "params K", "MACs G"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in run.entries:
        table.add_row(*_cells(entry, run.protocol.statistic), style=None if entry.status == "ok" else "dim")
    return table


def comparison_table(comparison: ModelComparison) -> Table:
    """Return two models' figures side by side, with their difference, its interval and its p-value."""
    first, second = comparison.names
    table = Table(
        title=f"{escape(first)} minus {escape(second)}",
        caption="p: of no difference, corrected where several pairs are tested; time in per cent of the second",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", first, second, "difference", "95 % interval", "p", "from"):
        table.add_column(escape(heading), justify="left" if heading in {"", "from"} else "right", no_wrap=True)
    for row in comparison.rows:
        digits = _COMPARISON_DIGITS.get(row.figure, 3)
        unit = "%" if row.figure == "runtime" else row.unit
        change_digits = 1 if row.figure == "runtime" else digits
        low, high = row.difference.ci
        table.add_row(
            f"{row.figure} {row.unit}".strip(),
            _number(row.first, digits),
            _number(row.second, digits),
            f"{_number(row.difference.value, change_digits, sign=True)} {unit}".strip(),
            f"{_number(low, change_digits, sign=True)} to {_number(high, change_digits, sign=True)}",
            spelled_p_value(row.corrected_p_value),
            escape(row.basis),
        )
    return table


def spelled_p_value(p_value: float) -> str:
    """Return a p-value in three digits, and in words where it is smaller."""
    return "< 0.001" if p_value < 0.001 else _number(p_value, 3)


def reasons(run: Run) -> list[str]:
    """Return one line for each row without a score, saying why."""
    return [
        f"{entry.name}: {entry.status} at {entry.error.stage}: {entry.error.message.splitlines()[0]}"
        for entry in run.entries
        if entry.error is not None
    ]


def _cells(entry: Entry, statistic: str) -> list[str]:
    runtime = entry.runtime_ms
    milliseconds = getattr(runtime, statistic) if runtime else None
    doubt = "" if runtime is None or runtime.stable else "~"
    label = f"[italic]{escape(entry.name)}[/]" if entry.kind == "baseline" else escape(entry.name)
    if entry.error is not None:
        label += f" [dim]{entry.status}[/]"
    return [
        str(entry.rank or ""),
        _rank_range(entry),
        label,
        _number(entry.score, 2),
        _number(entry.psnr_rgb, 3),
        _number(entry.delta_psnr_bicubic, 3, sign=True),
        _number(entry.psnr_y, 3),
        _number(entry.ssim_rgb, 4),
        doubt + _number(milliseconds, 1),
        _number(entry.fps, 1),
        _number(None if entry.params is None else entry.params / 1e3, 1),
        _number(None if entry.macs is None else entry.macs / 1e9, 2),
    ]


def _rank_range(entry: Entry) -> str:
    if entry.rank_range is None:
        return ""
    low, high = entry.rank_range
    return str(low) if low == high else f"{low}-{high}"


def _number(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
