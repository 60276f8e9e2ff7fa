"""Sanitize untrusted text for terminals and files."""

from __future__ import annotations

import re
import unicodedata

# Where a spreadsheet may begin a cell: at the start, where it drops white space, and after separators that it may use
# in place of the comma. Characters that begin a formula, with their full-width forms, which some programs convert.
_CELL_START = r"(^\s*|[;\t\r\n])"
_FORMULA_START = r"('*[=+\-@\uff1d\uff0b\uff0d\uff20])"
_FORMULA = re.compile(_CELL_START + _FORMULA_START)
_QUOTED_FORMULA = re.compile(f"{_CELL_START}'{_FORMULA_START}")


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
    return f"…{kept[-limit + 1 :]}" if keep_end else f"{kept[: limit - 1]}…"


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
