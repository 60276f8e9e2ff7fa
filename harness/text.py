"""Text from outside, made safe to print and to store."""

from __future__ import annotations

import unicodedata


def printable(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Return `text` without control characters (terminal escapes, surrogates), cut to `limit` characters."""
    kept = "".join(char if char in "\n\t" or unicodedata.category(char)[0] != "C" else "\ufffd" for char in text)
    if len(kept) <= limit:
        return kept
    return f"…{kept[-limit + 1 :]}" if keep_end else f"{kept[: limit - 1]}…"
