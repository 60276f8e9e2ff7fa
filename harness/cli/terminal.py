"""Tables for the terminal: the leaderboard and the comparison of two models."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.analysis.compare_models import ModelComparison
from harness.cli.findings import without_archive_folder
from harness.cli.text_console import styled
from harness.report.columns import columns_of
from harness.report.numbers import digits_for
from harness.results import Entry, Run
from harness.results.failure_groups import FailureGroup, group_failures
from harness.text import pluralized

MAX_UNSCORED = 30
"""Number of rows without a score that the table lists."""
MAX_REASONS = 40
"""Number of reasons, and of warnings, that are printed."""
_NAMED = 3
_COMPARISON_DIGITS = {"ssim_rgb": 5, "ssim_y": 5, "runtime": 2, "score": 2, "score_log10": 3}


def leaderboard_table(run: Run) -> Table:
    """Return the leaderboard as a table for the terminal."""
    title = f"{run.track.name} on {run.dataset.name} ({pluralized(run.dataset.images, 'image')}), {run.device.name}"
    title += f", ranked on backend {run.protocol.backend}" if run.protocol.further_backends else ""
    known = any(entry.rank_range for entry in run.entries)
    ranges = "; ranks: those that the measurements leave possible (95 %)" if known else ""
    table = Table(
        title=title,
        caption=f"score: {run.track.score_formula}{ranges}",
        title_justify="left",
        caption_justify="left",
    )
    columns = columns_of(run, "terminal")
    for heading in ("#", "ranks", "model"):
        table.add_column(heading, no_wrap=True)
    for column in columns:
        heading = column.declared.terminal_heading or f"{column.title} {column.unit}".strip()
        table.add_column(heading, justify="right", no_wrap=True)
    shown, hidden = _shown_rows(run)
    for entry in shown:
        # Not fewer decimals than on the page, or fast networks would have one time here and two there.
        figures = [column.declared.terminal_text(entry, column.statistic, column.digits) for column in columns]
        # Rows without a score are paler, and their status follows the name.
        style = None if entry.status == "ok" else "dim"
        table.add_row(str(entry.rank or ""), _rank_range(entry), _label(entry), *figures, style=style)
    if hidden:
        table.add_row("", "", f"and {hidden} more without a score", style="dim")
    return table


def _shown_rows(run: Run) -> tuple[list[Entry], int]:
    """Return the rows of the table, of those without a score the first, and the number of the others."""
    shown, unscored = [], 0
    for entry in run.entries:
        unscored += entry.error is not None
        if entry.error is None or unscored <= MAX_UNSCORED:
            shown.append(entry)
    return shown, len(run.entries) - len(shown)


def comparison_table(comparison: ModelComparison) -> Table:
    """Return two models' figures side by side, with their difference, its interval and its p-value."""
    first, second = comparison.names
    table = Table(
        title=f"{first} minus {second}",
        caption="p: of no difference, corrected where several pairs are tested; time in per cent of the second",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", first, second, "difference", "95 % interval", "p", "from"):
        table.add_column(heading, justify="left" if heading in {"", "from"} else "right", no_wrap=heading != "from")
    for row in comparison.rows:
        # More for small figures, such as the times of an accelerator.
        digits = max(_COMPARISON_DIGITS.get(row.figure, 3), digits_for((row.first, row.second), 4, 6))
        # The difference of times is relative, see `FigureComparison.difference`.
        unit = "%" if row.figure == "runtime" else row.unit
        change_digits = 1 if row.figure == "runtime" else digits
        low, high = row.difference.ci
        table.add_row(
            f"{row.figure} {row.unit}".strip(),
            _number(row.first, digits),
            _number(row.second, digits),
            f"{_number(row.difference.value, change_digits, sign=True)} {unit}".strip(),
            _interval(low, high, change_digits),
            spelled_p_value(row.corrected_p_value),
            row.basis,
        )
    return table


def spelled_p_value(p_value: float) -> str:
    """Return a p-value in three digits, and in words where it is smaller."""
    return "< 0.001" if p_value < 0.001 else _number(p_value, 3)


def data_lines(run: Run) -> list[str]:
    """Return what the networks were given: where LR images come from, and how HR images were cut to fit."""
    return [line for line in (f"LR images: {run.dataset.lr}" * bool(run.dataset.lr), run.dataset.hr_cut) if line]


def reasons(run: Run) -> list[str]:
    """Return lines that say why rows have no score, one for each reason; several rows may share it."""
    groups = group_failures(run.entries)
    lines = [_reason(group) for group in groups[:MAX_REASONS]]
    rest = sum(len(group.entries) for group in groups[MAX_REASONS:])
    return [*lines, f"and {rest} more without a score: results.json has all reasons"] if rest else lines


def at_most(lines: Sequence[str], limit: int = MAX_REASONS) -> list[str]:
    """Return the first lines, and a last one with the number of the others."""
    rest = len(lines) - limit
    return [*lines[:limit], f"and {rest} more: results.json has all of them"] if rest > 0 else list(lines)


def _reason(group: FailureGroup) -> str:
    names = [entry.name for entry in group.entries[:_NAMED]]
    rest = len(group.entries) - len(names)
    who = ", ".join(names) + (f" and {rest} more" if rest else "")
    return without_archive_folder(f"{who}: {group.status} at {group.stage}: {group.reason}")


def _label(entry: Entry) -> Text:
    label = styled(entry.name, "italic" if entry.kind == "baseline" else "")
    return label if entry.error is None else Text.assemble(label, " ", (entry.status, "dim"))


def _rank_range(entry: Entry) -> str:
    if entry.rank_range is None:
        return ""
    low, high = entry.rank_range
    return str(low) if low == high else f"{low}-{high}"


def _interval(low: float, high: float, digits: int) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "unknown"
    return f"{_number(low, digits, sign=True)} to {_number(high, digits, sign=True)}"


def _number(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
