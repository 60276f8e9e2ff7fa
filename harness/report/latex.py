"""A leaderboard as a LaTeX table: booktabs rules, siunitx columns, best bold, second underlined, notes below."""

from collections.abc import Sequence
from itertools import pairwise

from harness.report.caveats import UNSETTLED, interval, is_unsettled, latex_sign, name_marks, tied_ranks
from harness.report.columns import Column
from harness.report.rows import Row

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
}  # fmt: skip
# Characters of the harness's own texts that Latin fonts of pdfTeX lack, or that TeX writes in another way.
WORDS = {"\N{EN DASH}": "--", "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$"}
UNITS = {"dB": r"\decibel", "ms": r"\milli\second"}
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage{siunitx}
\usepackage[table]{xcolor}
\usepackage[landscape,margin=1cm]{geometry}
\pagestyle{empty}
\begin{document}
"""
SETUP = r"\sisetup{detect-all, table-number-alignment=right, table-text-alignment=right, group-minimum-digits=9}"


def escaped(text: str) -> str:
    """Escape text for pdfTeX; a letter that its Latin fonts lack becomes a question mark."""
    # Without the braces, TeX joins the hyphens of an option such as --scale to a dash.
    return "".join(_letter(one) + "{}" * (one == following == "-") for one, following in pairwise(f"{text} "))


def _letter(letter: str) -> str:
    if letter in SPECIAL or letter in WORDS:
        return {**SPECIAL, **WORDS}[letter]
    # U+00C0 to U+017E: Latin letters with accents, most of which the T1 encoding has.
    known = letter if letter.isascii() or "\u00c0" <= letter <= "\u017e" else "?"
    return known if letter.isprintable() else ""


def table(
    rows: Sequence[Row], columns: Sequence[Column], caption: str, notes: Sequence[tuple[str, str]] = (), *, ci: bool
) -> str:
    """Return a ``table`` environment; the packages that it needs are named in its first line.

    Parameters
    ----------
    rows, columns
        What is printed.
    caption
        Plain text.
    notes
        From :func:`harness.report.caveats.notes`.
    ci
        Whether figures are followed by their 95 % intervals.
    """
    ties = any(tied_ranks(row, rows) for row in rows)
    # siunitx aligns at the decimal point and needs the widest figure's digits for that.
    formats = "".join(f"\n  S[table-format={_width(rows, column)}]" for column in columns)
    heads = ["\\#", r"95\,\%", *(["Tied with"] if ties else []), "Model", *(_heading(column) for column in columns)]
    lines = [
        "% needs: \\usepackage{booktabs} and \\usepackage{siunitx}",
        r"\begin{table}",
        r"\centering",
        SETUP,
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{@{{}}rr{'r' if ties else ''}l{formats}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(_line(row, rows if ties else (), columns, ci=ci) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *footnotes(notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def footnotes(notes: Sequence[tuple[str, str]]) -> list[str]:
    """Return notes as lines below a table."""
    if not notes:
        return []
    sentences = [f"{latex_sign(sign)}{' ' if sign else ''}{escaped(text.rstrip('.'))}." for sign, text in notes]
    return [r"\par\smallskip", r"{\footnotesize\raggedright", *sentences, r"\par}"]


def document(content: str) -> str:
    """Return a table as a document that compiles as it stands."""
    return f"{PREAMBLE}{content}\\end{{document}}\n"


def printed_name(row: Row) -> str:
    """Return the name of a row with its marks."""
    return escaped(row.entry.name) + "".join(mark.latex for mark in name_marks(row.entry))


def _line(row: Row, tied: Sequence[Row], columns: Sequence[Column], *, ci: bool) -> str:
    rank = "--" if row.entry.rank is None else str(row.entry.rank)
    # Neither column is printed if no row is tied.
    ties = [escaped(tied_ranks(row, tied))] if tied else []
    cells = [cell(row, column, ci=ci) for column in columns]
    return " & ".join([rank, escaped(row.rank_range), *ties, printed_name(row), *cells]) + r" \\"


def _heading(column: Column) -> str:
    # The fonts of pdfTeX for Latin letters lack the capital delta.
    title = escaped(column.title.replace("Δ", "+"))
    if not column.unit:
        # In braces, because siunitx would parse a heading as a number.
        return f"{{{title}}}"
    unit = rf"\si{{{UNITS[column.unit]}}}" if column.unit in UNITS else escaped(column.unit)
    return f"{{{title} / {unit}}}"


def cell(row: Row, column: Column, *, ci: bool = False) -> str:
    """Return a figure for a siunitx column, with its marks and, if wanted, its 95 % interval."""
    value = column.value(row.entry)
    if value is None:
        return "{--}"
    text = f"{value:z.{column.digits}f}"
    limits = interval(column, row.entry) if ci else None
    after = UNSETTLED.latex if is_unsettled(column, row.entry) else ""
    after += "" if limits is None else rf"\,[{limits[0]:z.{column.digits}f}, {limits[1]:z.{column.digits}f}]"
    if column.lower_bound(row.entry):
        # In braces, siunitx takes a cell as text, without parsing it as a number.
        return rf"{{$\geq$ {text}{after}}}"
    place = row.places.get(column.key)
    if place == "second-best":
        return rf"{{\underline{{{text}}}{after}}}"
    # Text behind a number of a siunitx column must be in braces, too.
    behind = f" {{{after}}}" if after else ""
    return rf"\bfseries {text}{behind}" if place == "best" else f"{text}{behind}"


def _width(rows: Sequence[Row], column: Column) -> str:
    """Return the digits before and after the decimal point that the widest figure needs."""
    values = [value for row in rows if (value := column.value(row.entry)) is not None] or [0.0]
    whole = max(len(f"{abs(value):.0f}") for value in values)
    sign = "-" if min(values) < 0 else ""
    return f"{sign}{whole}.{column.digits}"
