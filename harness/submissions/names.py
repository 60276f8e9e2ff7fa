"""Find rows whose names cannot be told apart by a reader: equal ones, other spellings, and look-alike letters."""

# ruff: noqa: RUF001, RUF002

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

# Letters of other scripts that look like Latin ones and that normalization keeps: Cyrillic, Greek, Armenian, phonetic.
# Three Greek capitals look like other letters than their small forms do.
_CAPITALS = str.maketrans("ΗΝΥ", "HNY")
_LOOKALIKES = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏыгпь" + "αβεηικμνορτυχγω" + "օսոցհ" + "ıɑɡɩʟ",
    "abekmhopctyxijsdqwhlbrnb" + "abenikmvoptuxyw" + "ounqh" + "iagil",
)
# Digits and signs that look like letters.
_SAME_SHAPE = str.maketrans("01|", "oll")


def skeleton(name: str) -> str:
    """Return what a reader sees of a name: without case, accents, blanks and signs, look-alike letters made Latin.

    >>> skeleton("Bicubic") == skeleton("ВICUBIС ") == skeleton("Ｂｉ-cubic")  # Cyrillic and full-width letters
    True
    """
    decomposed = unicodedata.normalize("NFKD", name).translate(_CAPITALS).casefold()
    letters = unicodedata.normalize("NFKD", decomposed.translate(_LOOKALIKES))
    visible = "".join(character for character in letters if character.isalnum() or character in "+|")
    # Capital i and small l look alike in many fonts. A name of signs only is compared as it is.
    return visible.translate(_SAME_SHAPE).replace("i", "l") or name


def namesakes(names: Mapping[str, str], baselines: Mapping[str, str]) -> dict[str, str]:
    """Return a note for every submission whose name looks like that of another row.

    Parameters
    ----------
    names
        Names of the submissions by slug.
    baselines
        Names of the baselines by slug.

    Returns
    -------
    dict of str to str
        Notes by slug. Each names one other row only, so that their length does not grow with the number of rows.
    """
    groups: dict[str, list[str]] = {}
    for slug, name in {**baselines, **names}.items():  # baselines first
        groups.setdefault(skeleton(name), []).append(slug)
    notes = {}
    for slug, name in names.items():
        # Two are enough, since at most one of them is this row.
        others = [other for other in groups[skeleton(name)][:2] if other != slug]
        if others:
            kind = "baseline" if others[0] in baselines else "submission"
            notes[slug] = f"its name looks like that of the {kind} {others[0]}; this row is {slug}"
    return notes
