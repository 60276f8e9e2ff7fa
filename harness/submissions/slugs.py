"""Derive unique, file-system safe names from submission names, and sort names in natural order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Characters. Suffixes and extensions are added, and file names are limited to 255 bytes.
_LENGTH = 60
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
"""Names that Windows reserves, with any suffix."""


def slugify(name: str) -> str:
    """Convert ``name`` to 1 to 60 ASCII letters, digits, ``.``, ``_`` and ``-``.

    >>> slugify("Bicubic++ (Aselsan)")
    'Bicubic-plus-plus-Aselsan'
    """
    spelled = name.replace("+", " plus ")
    ascii_only = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._]+", "-", ascii_only).strip("-._")[:_LENGTH].rstrip("-._") or "submission"


def unique_slugs(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Return one slug per name, in order, none of which is in `taken` or a file name that a system reserves.

    Slugs that are equal (ignoring case) get the suffixes ``-2``, ``-3``...
    """
    used = {slug.casefold() for slug in taken}
    last: dict[str, int] = {}
    slugs = []
    for name in names:
        slug = stem = slugify(name)
        if _is_reserved(slug):
            slug = stem = f"submission-{slug}"
        number = last.get(stem.casefold(), 2)  # without it, thousands of equal names would take quadratic time
        while slug.casefold() in used:  # slugs are file names; some file systems ignore case
            slug, number = f"{stem}-{number}", number + 1
        last[stem.casefold()] = number
        used.add(slug.casefold())
        slugs.append(slug)
    return slugs


def _is_reserved(slug: str) -> bool:
    return slug.casefold().split(".", maxsplit=1)[0] in _DEVICES


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that orders ``team2`` before ``team10``."""
    parts = re.split(r"([0-9]+)", name.casefold())
    # All parts have the same types, so that a number and a text in the same place can be compared; numbers come first.
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part)
