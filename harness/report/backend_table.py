"""The networks of a run by backend, for the page, the terminal and the exports."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from harness.errors import UsageError
from harness.report.columns import columns_of, runtime_of
from harness.report.exports import csv_text, html_table, json_text, markdown_notes, markdown_table, plain
from harness.report.latex import document, escaped, footnotes
from harness.report.numbers import fixed
from harness.results.backend_rows import BackendCell, BackendRow
from harness.results.record import Backend
from harness.results.schema import Entry, Run
from harness.suggestions import choice
from harness.text import single_line

DASH = "\N{EN DASH}"
NOTES = (
    "time of one forward pass in ms, with its 95 % interval",
    "bold: faster than every other backend of the network whose outputs hold, p < 0.05 corrected for its pairs (Holm)",
    "outputs hold where the network was measured to the end and loses at most 0.01 dB PSNR to its best backend",
    "use: the fastest backend whose outputs hold; of those that cannot be told apart from it, the one named first",
)
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class BackendCellText:
    """One network on one backend, in words.

    Attributes
    ----------
    entry
        Its row; None if it was not tried or not measured.
    time
        Time with its interval, or an empty string.
    remarks
        Where it failed or why the outputs do not hold, what else executed the network, whether its time did not settle,
        and how long it was built.
    reason
        Why it failed; empty if it did not.
    best
        Whether it is faster than all others.
    """

    entry: Entry | None = None
    time: str = ""
    remarks: tuple[str, ...] = ()
    reason: str = ""
    best: bool = False

    @property
    def text(self) -> str:
        """Time and remarks in one line; a dash if there is nothing."""
        return "; ".join([*([self.time] if self.time else []), *self.remarks]) or DASH


@dataclass(frozen=True, slots=True)
class Line:
    """One network: its cells in the order of the backends, and which backend it should use, in words."""

    row: BackendRow
    cells: list[BackendCellText]
    use: str


@dataclass(frozen=True, slots=True)
class BackendTable:
    """The networks of a run by backend."""

    backends: list[Backend]
    lines: list[Line]


def backend_table(run: Run) -> BackendTable | None:
    """Return the networks of a run by backend, in the order of the leaderboard; None in a run with one backend."""
    if not run.backends:
        return None
    backends = [run.protocol.backend, *run.protocol.further_backends]
    entries = {entry.slug: entry for entry in run.entries}
    digits = next(column.digits for column in columns_of(run) if column.key == "runtime_ms")
    places = {entry.slug: place for place, entry in enumerate(run.entries)}
    # Networks that are not in the leaderboard come last.
    # `run.backends` is in the order of the plan, the leaderboard in the order of ranks.
    rows = sorted(run.backends, key=lambda row: places.get(row.slug, len(places)))
    lines = []
    for row in rows:
        cells = {cell.backend: cell for cell in row.cells}
        shown = [_shown(run, row, cells.get(backend), entries, digits) for backend in backends]
        lines.append(Line(row, shown, use_of(row)))
    return BackendTable(backends, lines)


def use_of(row: BackendRow) -> str:
    """Return in words which backend a network should use."""
    if row.use is None:
        return "none"
    others = [backend for backend in row.fastest if backend != row.use]
    return f"{row.use} (or {', '.join(others)}: no difference shown)" if others else row.use


def _shown(
    run: Run, row: BackendRow, cell: BackendCell | None, entries: dict[str, Entry], digits: int
) -> BackendCellText:
    entry = None if cell is None else entries.get(cell.slug)
    if cell is None or entry is None:
        # A complete run lacks a cell where nothing was tried, an interrupted one also where it was not reached.
        return BackendCellText(remarks=("not tried",) if cell is None and run.run.complete else ())
    runtime = runtime_of(entry, run.protocol)
    time = "" if runtime is None else fixed(runtime, digits)
    # A single call has no interval.
    if entry.runtime_ms is not None and entry.runtime_ms.samples > 1:
        low, high = entry.runtime_ms.ci
        time += f" [{fixed(low, digits)}, {fixed(high, digits)}]"
    reason = "" if entry.error is None else single_line(entry.error.first_line, _LONGEST_REASON)
    # With one backend that holds, nothing was compared: no cell is the fastest then.
    alone = len(row.fastest) == 1 and sum(one.holds for one in row.cells) > 1
    return BackendCellText(
        entry, time, _remarks(run, row, cell, entries), reason, alone and cell.backend in row.fastest
    )


def _remarks(run: Run, row: BackendRow, cell: BackendCell, entries: dict[str, Entry]) -> tuple[str, ...]:
    entry = entries[cell.slug]
    found = []
    if entry.error is not None:
        found.append(f"{entry.status} at {entry.error.stage}")
    # A row that was measured to the end fails to hold only for its PSNR.
    elif not cell.holds and runtime_of(entry, run.protocol) is not None:
        psnr = [getattr(entries[one.slug], run.track.metric) for one in row.cells if one.slug in entries]
        best, own = max((value for value in psnr if value is not None), default=None), getattr(entry, run.track.metric)
        found.append("loses PSNR" if best is None or own is None else f"loses {fixed(best - own, 2)} dB PSNR")
    # Some submissions come with their own execution, such as ONNX files, whatever backend is asked for.
    if entry.backend != cell.backend and entry.error is None:
        found.append(f"executed by {entry.backend}")
    if entry.runtime_ms is not None and not entry.runtime_ms.stable:
        found.append("not settled")
    if entry.build_s is not None:
        found.append(f"built in {fixed(entry.build_s, 1)} s")
    return tuple(found)


def export_backends(run: Run, form: str, *, whole: bool = True) -> str:
    """Return the networks by backend as text.

    Parameters
    ----------
    run
        A run with several backends.
    form
        ``csv`` and ``json``: one record for each network and backend, with all digits. ``markdown``, ``latex`` and
        ``html-fragment``: one row for each network, as printed.
    whole
        For ``latex``: a document that compiles as it stands.

    Raises
    ------
    UsageError
        There is no such form, or the run has one backend.
    """
    forms = {"csv": _csv, "json": _json, "markdown": _markdown, "latex": _latex, "html-fragment": _html}
    if form not in forms:
        raise UsageError(f"there is no table of backends as {form!r}", hint=choice(form, forms))
    table = backend_table(run)
    if table is None:
        hint = "measure several, such as --backend eager,channels_last"
        raise UsageError(f"the run has one backend, {run.protocol.backend}", hint=hint)
    text = forms[form](run, table)
    return document(text) if form == "latex" and whole else text


def _records(run: Run) -> list[dict[str, Any]]:
    entries = {entry.slug: entry for entry in run.entries}
    return [
        _record(run, row, cell, entries[cell.slug])
        for row in run.backends
        for cell in row.cells
        if cell.slug in entries
    ]


def _record(run: Run, row: BackendRow, cell: BackendCell, entry: Entry) -> dict[str, Any]:
    low, high = entry.runtime_ms.ci if entry.runtime_ms else (None, None)
    # JSON has no infinity, so that an unbounded interval is stored as None.
    ratio_low, ratio_high = cell.ci or (None, None)
    return {
        "model": row.name,
        "slug": cell.slug,
        "backend": cell.backend,
        "executed_by": entry.backend,
        "status": entry.status,
        "runtime_ms": runtime_of(entry, run.protocol),
        "runtime_ms_low": low,
        "runtime_ms_high": high,
        "build_s": entry.build_s,
        "peak_memory_bytes": entry.peak_memory_bytes,
        "psnr_rgb": entry.psnr_rgb,
        "psnr_y": entry.psnr_y,
        "holds": cell.holds,
        "ratio": cell.ratio,
        "ratio_low": ratio_low,
        "ratio_high": ratio_high,
        "p_value": cell.p_value,
        "among_fastest": cell.backend in row.fastest,
        "use": cell.backend == row.use,
        "error": f"{entry.error.stage}: {entry.error.message}" if entry.error else None,
    }


def _csv(run: Run, _table: BackendTable) -> str:
    return csv_text(_records(run))


def _json(run: Run, _table: BackendTable) -> str:
    return json_text(_records(run))


def _markdown(_run: Run, table: BackendTable) -> str:
    lines = [["Model", *map(plain, table.backends), "Use"], [":--", *["--:"] * len(table.backends), ":--"]]
    for line in table.lines:
        cells = [f"**{plain(cell.text)}**" if cell.best else plain(cell.text) for cell in line.cells]
        lines.append([plain(line.row.name), *cells, plain(line.use)])
    return markdown_table(lines) + markdown_notes(_notes(table))


def _latex(run: Run, table: BackendTable) -> str:
    def cell_of(cell: BackendCellText) -> str:
        text = escaped(cell.text)
        return rf"\textbf{{{text}}}" if cell.best else text

    lines = [
        " & ".join([escaped(line.row.name), *map(cell_of, line.cells), escaped(line.use)]) + r" \\"
        for line in table.lines
    ]
    return "\n".join(
        [
            "% needs: \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(_caption(run))}.}}",
            rf"\begin{{tabular}}{{@{{}}l{'r' * len(table.backends)}l@{{}}}}",
            r"\toprule",
            " & ".join(["Model", *map(escaped, table.backends), "Use"]) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *footnotes(_notes(table)),
            r"\end{table}",
            "",
        ]
    )


def _html(run: Run, table: BackendTable) -> str:
    def cell_of(cell: BackendCellText) -> str:
        text = escape(cell.text)
        return f"<td><strong>{text}</strong></td>" if cell.best else f"<td>{text}</td>"

    rows = [
        f'<tr><th scope="row"><bdi>{escape(line.row.name)}</bdi></th>'
        f"{''.join(map(cell_of, line.cells))}<td>{escape(line.use)}</td></tr>"
        for line in table.lines
    ]
    return html_table(["Model", *table.backends, "Use"], rows, _notes(table), caption=_caption(run))


def _caption(run: Run) -> str:
    return f"Backends: {run.track.name} on {run.dataset.name}, {run.device.name}, {run.protocol.precision}"


def _notes(table: BackendTable) -> list[tuple[str, str]]:
    """Return what stands below a printed table: how to read it, and why cells failed."""
    failed = [
        f"{line.row.name} on {backend}: {cell.reason}"
        for line in table.lines
        for backend, cell in zip(table.backends, line.cells, strict=True)
        if cell.reason
    ]
    return [("", note) for note in [*NOTES, *failed]]
