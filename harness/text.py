"""Sanitize untrusted text for terminals and files."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Any, Literal

# Everything that str.splitlines() takes as the end of a line, and the tab.
_BREAKS = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029")

# Where a spreadsheet may begin a cell: at the start, and after separators that it may use in place of the comma. White
# space is dropped there. Characters that begin a formula, with their full-width forms, which some programs convert.
_CELL_START = r"((?:^|[;\t\r\n])\s*)"
_FORMULA_START = r"('*[=+\-@\uff1d\uff0b\uff0d\uff20])"
_FORMULA = re.compile(_CELL_START + _FORMULA_START)
_QUOTED_FORMULA = re.compile(f"{_CELL_START}'{_FORMULA_START}")

_ENTRY = re.compile(r"  \S")
# A word of prose: options, paths, names of files and keys have other characters within.
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*[,;:.!?]?")
_COMMANDS = frozenset({"git", "harness", "pip", "python", "uv"})


def without_middle(text: str, limit: int) -> str:
    """Return the beginning and the end of a text, at most so many characters: names of a series differ at their end."""
    if len(text) <= limit:
        return text
    kept_at_end = (limit - 1) // 3
    return f"{text[: limit - 1 - kept_at_end].rstrip()}…{text[-kept_at_end:].lstrip()}"


def pluralized(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or the plural.

    >>> pluralized(1, "image"), pluralized(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Replace control characters in `text` and truncate it.

    Parameters
    ----------
    text
        Untrusted text, such as the output of a submission.
    limit
        Largest length of the result, characters.
    keep_end
        Drop the beginning instead of the end if the text is too long.

    Returns
    -------
    str
        Control characters other than newline and tab, surrogates and unassigned code points are replaced by U+FFFD,
        so that neither terminal escape sequences nor encoding errors can occur.
    """
    kept = "".join(char if char in "\n\t" or unicodedata.category(char)[0] != "C" else "\ufffd" for char in text)
    if len(kept) <= limit:
        return kept
    # The ellipsis counts towards the limit.
    return f"…{kept[-limit + 1 :]}" if keep_end else f"{kept[: limit - 1]}…"


def beside(value: float, limit: float, digits: int, form: Literal["f", "g"] = "f") -> str:
    """Write a value with at least `digits` digits, and with as many as show on which side of a limit it is.

    Parameters
    ----------
    value, limit
        The value, and the limit that it is compared with.
    digits
        Fewest decimals, or fewest significant digits with ``g``.
    form
        Presentation type of :func:`format`.
    """
    # 17 significant digits tell any two numbers apart.
    for more in range(digits, 18):
        text = f"{value:.{more}{form}}"
        shown = float(text)
        if (shown < limit, shown > limit) == (value < limit, value > limit):
            return text
    return repr(value)


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC).

    macOS stores decomposed names (NFD), so that two names that look the same can consist of other code points.
    """
    return unicodedata.normalize("NFC", name)


def spreadsheet_text(text: str) -> str:
    """Return text that a spreadsheet shows as it is instead of computing it as a formula.

    An apostrophe is put before ``=``, ``+``, ``-`` and ``@`` where a cell may begin. :func:`from_spreadsheet_text`
    removes it.

    >>> spreadsheet_text("=HYPERLINK(1)"), spreadsheet_text("a-b")
    ("'=HYPERLINK(1)", 'a-b')
    """
    return _FORMULA.sub(r"\1'\2", text)


def from_spreadsheet_text(text: str) -> str:
    """Return the text from which :func:`spreadsheet_text` made its argument."""
    return _QUOTED_FORMULA.sub(r"\1\2", text)


def printable_json(value: Any) -> Any:
    """Return JSON-like data with the control characters in its texts replaced; see :func:`printable`."""
    if isinstance(value, str):
        # Most texts need no copy.
        return value if value.isascii() and value.isprintable() else printable(value, len(value))
    if isinstance(value, list):
        return (
            [printable_json(item) for item in value] if any(isinstance(i, str | list | dict) for i in value) else value
        )
    if isinstance(value, dict):
        return {key: printable_json(item) for key, item in value.items()}
    return value


def single_line(text: str, limit: int) -> str:
    """Return untrusted text as one line of at most `limit` characters.

    Line breaks of every kind and tabs become spaces, and spaces at both ends are removed; see :func:`printable`.
    """
    # Cut first, so that the time does not depend on the length of the text.
    line = "".join(" " if char in _BREAKS else char for char in text[: limit + 1])
    return printable(line, limit).strip()


def first_line(text: str, default: str = "no message") -> str:
    """Return the first line of a text that is not blank; `default` if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), default)


def summary_line(text: str, most: int = 3) -> str:
    """Return the first line of a text that is not blank, with the first entries of the list below it, if it has one.

    Entries of a list are lines indented by two spaces.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    entries = list(itertools.takewhile(_ENTRY.match, lines[1:]))
    listed = "; ".join(line.strip() for line in entries[:most])
    more = "; ..." if len(entries) > most else ""
    return f"{first_line(text)}: {listed}{more}" if listed else first_line(text)


def sentence_start(text: str) -> str:
    """Return a text with a capital letter at its start, unless it begins with a command, a path, an option or a key."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return text[0].upper() + text[1:] if _WORD.fullmatch(first) and first not in _COMMANDS else text
