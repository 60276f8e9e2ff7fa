"""Export a run's leaderboard as CSV, JSON, Markdown, LaTeX or an HTML table."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

from harness.errors import UsageError
from harness.report import caveats, latex
from harness.report.caveats import UNSETTLED, interval, is_unsettled, name_marks, record_of, tied_ranks
from harness.report.columns import Column, columns_of, convention_columns
from harness.report.numbers import fixed
from harness.report.published_rows import with_published
from harness.report.rows import Row, scored_rows, unscored_rows
from harness.results.columns import LOWER_BOUND
from harness.results.run_folder import RunFolder
from harness.suggestions import choice
from harness.text import spreadsheet_text


def export(
    folder: RunFolder,
    form: str,
    columns: Sequence[str] | None = None,
    *,
    whole: bool = True,
    ci: bool = False,
    published: bool = False,
) -> str:
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
    ci
        For printed tables: follow figures by their 95 % intervals. The others have columns for them.
    published
        Add rows of the figures that authors state, without ranks.

    Raises
    ------
    UsageError
        There is no such form or column.
    """
    if form not in FORMS:
        raise UsageError(f"there is no export {form!r}", hint=choice(form, FORMS))
    # Data exports have every column unless some are named, printed tables those for print.
    table = _Table(folder, chosen_columns(folder, columns, everything=form in {"csv", "json"}), ci, published)
    text = FORMS[form](table)
    return latex.document(text) if form == "latex" and whole else text


def chosen_columns(folder: RunFolder, keys: Sequence[str] | None, *, everything: bool = False) -> list[Column]:
    """Return columns by key, in the order of ``keys``; by default those of a printed table, or ``everything``."""
    # By the key that the exports themselves show, so that what is read there can be typed here.
    known = {column.key: column for column in [*columns_of(folder.run, "export"), *convention_columns(folder.run)]}
    wanted = keys or (list(known) if everything else [column.key for column in columns_of(folder.run, "paper")])
    for key in wanted:
        if key not in known:
            raise UsageError(f"there is no column {key!r}", hint=choice(key, known))
    return [known[key] for key in wanted]


@dataclass(frozen=True)
class _Table:
    """What is exported."""

    folder: RunFolder
    columns: Sequence[Column]
    ci: bool
    published: bool

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of a printed table."""
        rows = scored_rows(self.folder)
        return with_published(rows) if self.published else rows

    @cached_property
    def ties(self) -> list[str]:
        """The ranks that each row is tied with; empty if no row is."""
        found = [tied_ranks(row, self.rows) for row in self.rows]
        return found if any(found) else []

    @property
    def heads(self) -> list[str]:
        """The headings."""
        tied = ["Tied with"] if self.ties else []
        return ["#", "Ranks, 95 %", *tied, "Model", *map(_title, self.columns)]

    @property
    def notes(self) -> list[tuple[str, str]]:
        """What stands below the table."""
        return caveats.notes(self.folder.run, self.rows, self.columns, ci=self.ci)

    def before_name(self, position: int) -> list[str]:
        """Return the cells of a row before its name."""
        row = self.rows[position]
        rank = "" if row.entry.rank is None else str(row.entry.rank)
        return [rank, row.rank_range, *([self.ties[position]] if self.ties else [])]

    def text(self, row: Row, column: Column) -> str:
        """Return a figure with its mark in front, and its interval."""
        bound = f"{LOWER_BOUND} " if column.lower_bound(row.entry) else ""
        limits = interval(column, row.entry) if self.ci else None
        digits = column.digits
        after = "" if limits is None else f" [{fixed(limits[0], digits)}, {fixed(limits[1], digits)}]"
        return bound + (column.text(row.entry) or "\N{EN DASH}") + after


def _records(table: _Table) -> list[dict[str, Any]]:
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
            **{column.key: column.value(row.entry) for column in table.columns},
            "error": f"{row.entry.error.stage}: {row.entry.error.message}" if row.entry.error else None,
            "form": row.entry.reparam.method if row.entry.reparam else None,
            "lower_bounds": " ".join(column.key for column in table.columns if column.lower_bound(row.entry)),
            **record_of(row.entry),
            "published": row.stated,
        }
        # Printed tables leave out rows without a score, data exports do not.
        for row in [*table.rows, *unscored_rows(table.folder)]
    ]


def _csv(table: _Table) -> str:
    return csv_text(_records(table))


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV; text that a spreadsheet would take for a formula is marked as text."""
    text = io.StringIO()
    if records:
        # All records have the same keys in the same order.
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in record.items()} for record in records)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else value


def _json(table: _Table) -> str:
    return json_text(_records(table))


def json_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as a JSON list."""
    # `ensure_ascii=False` keeps names readable; the file is UTF-8.
    return json.dumps(records, indent=1, ensure_ascii=False) + "\n"


def _markdown(table: _Table) -> str:
    # Figures are aligned to the right, names to the left.
    rules = ["--:" if head != "Model" else ":--" for head in table.heads]
    lines = [table.heads, rules]
    for position, row in enumerate(table.rows):
        name = plain(row.entry.name) + _signs(row)
        lines.append([*table.before_name(position), name, *(_marked(table, row, column) for column in table.columns)])
    return markdown_table(lines) + markdown_notes(table.notes)


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells, of which the second is the rule, as a Markdown table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown_notes(notes: Sequence[tuple[str, str]]) -> str:
    """Return notes as a list below a table."""
    lines = [f"- {sign} {plain(text)}\n" if sign else f"- {plain(text)}\n" for sign, text in notes]
    return "".join(["\n", *lines]) if lines else ""


def _signs(row: Row) -> str:
    return "".join(mark.sign for mark in name_marks(row.entry))


def plain(text: str) -> str:
    """Escape a name for Markdown, for the HTML that it may contain, and for spreadsheets that import it."""
    printed = spreadsheet_text("".join(letter if letter.isprintable() else " " for letter in text))
    # Markdown passes HTML through.
    shown = escape(printed, quote=False)
    # Characters with a meaning in Markdown, and in its extensions for tables, formulas and crossed-out text.
    return "".join(f"\\{letter}" if letter in "\\`*_[]|$~!#" else letter for letter in shown)


def _marked(table: _Table, row: Row, column: Column) -> str:
    text = table.text(row, column)
    unsettled = UNSETTLED.sign if is_unsettled(column, row.entry) else ""
    return (f"**{text}**" if row.places.get(column.key) == "best" else text) + unsettled


def _title(column: Column) -> str:
    return f"{column.title}, {column.unit}" if column.unit else column.title


def _latex(table: _Table) -> str:
    run = table.folder.run
    caption = (
        f"{run.track.name} on {run.dataset.name}, {run.device.name}, {run.protocol.precision}, {run.protocol.backend}."
    )
    return latex.table(table.rows, table.columns, caption, table.notes, ci=table.ci)


def _html(table: _Table) -> str:
    run = table.folder.run
    rows = [f"<tr>{_html_cells(table, position)}</tr>" for position in range(len(table.rows))]
    return html_table(table.heads, rows, table.notes, caption=f"{run.track.name} on {run.dataset.name}")


def html_table(
    heads: Sequence[str], rows: Sequence[str], notes: Sequence[tuple[str, str]], *, caption: str = ""
) -> str:
    """Return a table with notes at its foot; ``rows`` are its rows as HTML."""
    columns = "".join(f'<th scope="col">{escape(title)}</th>' for title in heads)
    above = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    body = "".join(f"{row}\n" for row in rows)
    return (
        f"<table>\n{above}<thead><tr>{columns}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n{_html_notes(notes, len(heads))}</table>\n"
    )


def _html_notes(notes: Sequence[tuple[str, str]], columns: int) -> str:
    """Return notes as the foot of a table with a number of columns; empty if there are none."""
    lines = "<br>\n".join(f"{escape(sign)} {escape(text)}".strip() for sign, text in notes)
    return f'<tfoot><tr><td colspan="{columns}">{lines}</td></tr></tfoot>\n' if lines else ""


def _html_cells(table: _Table, position: int) -> str:
    row = table.rows[position]
    before = "".join(f"<td>{cell}</td>" for cell in table.before_name(position))
    cells = "".join(f"<td>{_strong(table, row, column)}</td>" for column in table.columns)
    # <bdi> isolates a name in a right-to-left script from the cells around it.
    return f'{before}<th scope="row"><bdi>{escape(row.entry.name)}</bdi>{_signs(row)}</th>{cells}'


def _strong(table: _Table, row: Row, column: Column) -> str:
    text = escape(table.text(row, column))
    unsettled = UNSETTLED.sign if is_unsettled(column, row.entry) else ""
    return (f"<strong>{text}</strong>" if row.places.get(column.key) == "best" else text) + unsettled


FORMS: dict[str, Callable[[_Table], str]] = {
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
    "html-fragment": _html,
}
