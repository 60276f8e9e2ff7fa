"""Tables for the terminal: the leaderboard and the comparison of two models."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from harness.analysis.compare_models import ModelComparison
from harness.results import Entry, Run
from harness.results.columns import shown_in

_COMPARISON_DIGITS = {"ssim_rgb": 5, "ssim_y": 5, "runtime": 2, "score": 2}


def leaderboard_table(run: Run) -> Table:
    """Return the leaderboard as a table for the terminal."""
    title = f"{run.track.name} on {run.dataset.name} ({run.dataset.images} images), {run.device.name}"
    table = Table(
        title=title,
        caption=f"score: {run.track.score_formula}; ranks: those that the measurements leave possible (95 %)",
        title_justify="left",
        caption_justify="left",
    )
    columns = shown_in("terminal", run)
    for heading in ("#", "ranks", "model"):
        table.add_column(heading, no_wrap=True)
    for column in columns:
        heading = column.terminal_heading or f"{column.heading} {column.unit}".strip()
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in run.entries:
        figures = [column.terminal_text(entry, run.protocol.statistic) for column in columns]
        style = None if entry.status == "ok" else "dim"
        table.add_row(str(entry.rank or ""), _rank_range(entry), _label(entry), *figures, style=style)
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
        table.add_column(
            escape(heading), justify="left" if heading in {"", "from"} else "right", no_wrap=heading != "from"
        )
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


def _label(entry: Entry) -> str:
    label = f"[italic]{escape(entry.name)}[/]" if entry.kind == "baseline" else escape(entry.name)
    return label if entry.error is None else f"{label} [dim]{entry.status}[/]"


def _rank_range(entry: Entry) -> str:
    if entry.rank_range is None:
        return ""
    low, high = entry.rank_range
    return str(low) if low == high else f"{low}-{high}"


def _number(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
