"""Sanitize untrusted text for terminals and files."""

from __future__ import annotations

import unicodedata


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
