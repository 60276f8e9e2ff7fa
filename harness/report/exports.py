"""Export a run's leaderboard as CSV, JSON, Markdown, LaTeX or an HTML table."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from harness.errors import UsageError
from harness.report import latex
from harness.report.columns import Column, columns_of, convention_columns
from harness.report.rows import Row, scored_rows, unscored_rows
from harness.results.columns import LOWER_BOUND
from harness.results.run_folder import RunFolder
from harness.suggestions import choice
from harness.text import spreadsheet_text


def export(folder: RunFolder, form: str, columns: Sequence[str] | None = None, *, whole: bool = True) -> str:
    """Return the leaderboard as text.

    Parameters
    ----------
    folder
        A run, from :func:`harness.report.load_run`.
    form
        ``csv``, ``json``, ``markdown``, ``latex`` or ``html-fragment``. The first two hold every row and unrounded
        figures; the others hold the scored rows, as printed in the page.
    columns
        Keys of columns, in the order wanted: see :func:`harness.report.columns.columns_of`.
    whole
        For ``latex``: a document that compiles as it stands, instead of its table alone.

    Raises
    ------
    UsageError
        There is no such form or column.
    """
    if form not in FORMS:
        raise UsageError(f"there is no export {form!r}", hint=choice(form, FORMS))
    text = FORMS[form](folder, chosen_columns(folder, columns, everything=form in {"csv", "json"}))
    return latex.document(text) if form == "latex" and whole else text


def chosen_columns(folder: RunFolder, keys: Sequence[str] | None, *, everything: bool = False) -> list[Column]:
    """Return columns by key, in the order of ``keys``; by default those of a printed table, or ``everything``."""
    known = {column.key: column for column in [*columns_of(folder.run, "export"), *convention_columns(folder.run)]}
    wanted = keys or (list(known) if everything else [column.key for column in columns_of(folder.run, "paper")])
    for key in wanted:
        if key not in known:
            raise UsageError(f"there is no column {key!r}", hint=choice(key, known))
    return [known[key] for key in wanted]


def _records(folder: RunFolder, columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [
        {
            "rank": row.entry.rank,
            "rank_low": row.entry.rank_low,
            "rank_high": row.entry.rank_high,
            "name": row.entry.name,
            "team": row.entry.team,
            "kind": row.entry.kind,
            "status": row.entry.status,
            "slug": row.entry.slug,
            **{column.key: column.value(row.entry) for column in columns},
            "error": f"{row.entry.error.stage}: {row.entry.error.message}" if row.entry.error else None,
            "lower_bounds": " ".join(column.key for column in columns if column.lower_bound(row.entry)),
        }
        for row in [*scored_rows(folder), *unscored_rows(folder)]
    ]


def _csv(folder: RunFolder, columns: Sequence[Column]) -> str:
    records = _records(folder, columns)
    text = io.StringIO()
    if records:
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in record.items()} for record in records)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else value


def _json(folder: RunFolder, columns: Sequence[Column]) -> str:
    return json.dumps(_records(folder, columns), indent=1, ensure_ascii=False) + "\n"


def _markdown(folder: RunFolder, columns: Sequence[Column]) -> str:
    titles = ["#", "Ranks, 95 %", "Model", *(_title(column) for column in columns)]
    lines = [titles, ["--:", "--:", ":--", *["--:"] * len(columns)]]
    for row in scored_rows(folder):
        rank = "" if row.entry.rank is None else str(row.entry.rank)
        lines.append(
            [rank, row.rank_range, _plain(row.entry.name), *(_marked(row, column, "**") for column in columns)]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plain(text: str) -> str:
    """Escape a name for Markdown, for the HTML that it may contain, and for spreadsheets that import it."""
    printed = spreadsheet_text("".join(letter if letter.isprintable() else " " for letter in text))
    shown = escape(printed, quote=False)
    return "".join(f"\\{letter}" if letter in "\\`*_[]|$~!#" else letter for letter in shown)


def _marked(row: Row, column: Column, mark: str) -> str:
    text = _text(row, column)
    return f"{mark}{text}{mark}" if row.places.get(column.key) == "best" else text


def _text(row: Row, column: Column) -> str:
    bound = f"{LOWER_BOUND} " if column.lower_bound(row.entry) else ""
    return bound + (column.text(row.entry) or "\N{EN DASH}")


def _title(column: Column) -> str:
    return f"{column.title}, {column.unit}" if column.unit else column.title


def _latex(folder: RunFolder, columns: Sequence[Column]) -> str:
    run = folder.run
    caption = (
        f"{run.track.name} on {run.dataset.name}, {run.device.name}, {run.protocol.precision}, {run.protocol.backend}."
    )
    return latex.table(scored_rows(folder), columns, caption)


def _html(folder: RunFolder, columns: Sequence[Column]) -> str:
    heads = "".join(
        f'<th scope="col">{escape(title)}</th>' for title in ("#", "Ranks, 95 %", "Model", *map(_title, columns))
    )
    body = "".join(f"<tr>{_html_cells(row, columns)}</tr>\n" for row in scored_rows(folder))
    caption = escape(f"{folder.run.track.name} on {folder.run.dataset.name}")
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    )


def _html_cells(row: Row, columns: Sequence[Column]) -> str:
    rank = "" if row.entry.rank is None else row.entry.rank
    cells = "".join(f"<td>{_strong(row, column)}</td>" for column in columns)
    return f'<td>{rank}</td><td>{row.rank_range}</td><th scope="row"><bdi>{escape(row.entry.name)}</bdi></th>{cells}'


def _strong(row: Row, column: Column) -> str:
    text = escape(_text(row, column))
    return f"<strong>{text}</strong>" if row.places.get(column.key) == "best" else text


FORMS: dict[str, Callable[[RunFolder, Sequence[Column]], str]] = {
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
    "html-fragment": _html,
}
