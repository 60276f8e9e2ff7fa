"""A leaderboard as a LaTeX table: booktabs rules, siunitx columns, best bold, second underlined."""

from collections.abc import Sequence

from harness.report.columns import Column
from harness.report.rows import Row

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip
UNITS = {"dB": r"\decibel", "ms": r"\milli\second"}
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage{siunitx}
\usepackage[landscape,margin=1cm]{geometry}
\pagestyle{empty}
\begin{document}
"""


def escaped(text: str) -> str:
    """Escape text for pdfTeX; a letter that its Latin fonts lack becomes a question mark."""
    known = (letter if letter.isascii() or "\u00c0" <= letter <= "\u017e" else "?" for letter in text)
    return "".join(SPECIAL.get(letter, letter) for letter in known if letter.isprintable())


def table(rows: Sequence[Row], columns: Sequence[Column], caption: str) -> str:
    """Return a ``table`` environment; the packages that it needs are named in its first line."""
    formats = "".join(f"\n  S[table-format={_width(rows, column)}]" for column in columns)
    lines = [
        "% needs: \\usepackage{booktabs} and \\usepackage{siunitx}",
        r"\begin{table}",
        r"\centering",
        r"\sisetup{detect-all, table-number-alignment=right, table-text-alignment=right, group-minimum-digits=9}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{@{{}}rrl{formats}@{{}}}}",
        r"\toprule",
        " & ".join(["\\#", r"95\,\%", "Model", *(_heading(column) for column in columns)]) + r" \\",
        r"\midrule",
        *(_line(row, columns) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def document(content: str) -> str:
    """Return a table as a document that compiles as it stands."""
    return f"{PREAMBLE}{content}\\end{{document}}\n"


def _line(row: Row, columns: Sequence[Column]) -> str:
    rank = "--" if row.entry.rank is None else str(row.entry.rank)
    ranks = row.rank_range.replace("\N{EN DASH}", "--")
    return " & ".join([rank, ranks, escaped(row.entry.name), *(_cell(row, column) for column in columns)]) + r" \\"


def _heading(column: Column) -> str:
    title = escaped(column.title.replace("Δ", "+"))
    if not column.unit:
        return f"{{{title}}}"
    unit = rf"\si{{{UNITS[column.unit]}}}" if column.unit in UNITS else escaped(column.unit)
    return f"{{{title} / {unit}}}"


def _cell(row: Row, column: Column) -> str:
    value = column.value(row.entry)
    if value is None:
        return "{--}"
    text = f"{value:.{column.digits}f}"
    if column.lower_bound(row.entry):
        return rf"{{$\geq$ {text}}}"
    place = row.places.get(column.key)
    return rf"\bfseries {text}" if place == "best" else rf"{{\underline{{{text}}}}}" if place else text


def _width(rows: Sequence[Row], column: Column) -> str:
    """Return the digits before and after the decimal point that the widest figure needs."""
    values = [value for row in rows if (value := column.value(row.entry)) is not None] or [0.0]
    whole = max(len(f"{abs(value):.0f}") for value in values)
    sign = "-" if min(values) < 0 else ""
    return f"{sign}{whole}.{column.digits}"
