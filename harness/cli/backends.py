"""The networks of a run by backend, for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from harness.cli.text_console import styled
from harness.report.backend_table import BackendCellText, backend_table
from harness.results import Run

_MOST_LINES = 100


def backends_table(run: Run) -> Table:
    """Return which backend each network of a run with several should use, as a table.

    Reasons of failures are not repeated: they are printed below the leaderboard.
    """
    found = backend_table(run)
    assert found is not None
    table = Table(
        title="backends: ms with its 95 % interval",
        caption="bold: faster than every other, p < 0.05 corrected; only rows whose outputs hold are compared",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("model")
    for backend in found.backends:
        table.add_column(backend, justify="right")
    table.add_column("use")
    for line in found.lines[:_MOST_LINES]:
        table.add_row(styled(line.row.name, ""), *map(_cell, line.cells), line.use)
    if len(found.lines) > _MOST_LINES:
        table.add_row(f"and {len(found.lines) - _MOST_LINES} more: harness export RUN --backends", style="dim")
    return table


def _cell(shown: BackendCellText) -> Text:
    lines = [styled(line, "bold" if shown.best else "") for line in (shown.time, *shown.remarks) if line]
    # Time and remarks stand below each other, so that a column stays narrow.
    return Text("\n").join(lines or [Text("-")])
