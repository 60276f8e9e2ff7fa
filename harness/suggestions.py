"""Hints for an unknown name: the nearest known name, and a list of all."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_CLOSE = 0.5  # ratio of difflib from which a name is suggested


def choice(name: str, known: Iterable[str], *, most: int = 40) -> str:
    """Return a hint for a user who typed the unknown `name`: the nearest name, and all that there are, each once.

    Parameters
    ----------
    name
        What was typed.
    known
        The names that there are, in the order in which they are listed.
    most
        How many of them are listed.
    """
    names = list(dict.fromkeys(known))
    # Reversed, so that of names that differ in case only, the first one is suggested.
    folded = {one.casefold(): one for one in reversed(names)}
    nearest = get_close_matches(name.casefold(), folded, 1, _CLOSE)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    listed = f"choose one of: {', '.join(names[:most])}{rest}" if names else "there are none"
    return f"did you mean {folded[nearest[0]]!r}? {listed[0].upper()}{listed[1:]}" if nearest else listed
