"""Write a figure for print: lengths as people state them, and the format by the name of the file."""

import re
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from harness.errors import UsageError
from harness.report.drawing import render
from harness.report.site import write_page
from harness.suggestions import choice

INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
"""Inches of each unit of length; ``pt`` is TeX's point, in which LaTeX prints ``\\columnwidth``."""
KINDS = ("pdf", "svg", "png")
_LEAST, _MOST = 1.0, 40.0  # inches
_LENGTH = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]+)\s*", re.IGNORECASE)


def inches(text: str, option: str) -> float:
    """Return a length such as ``3.3in``, ``84mm``, ``8.4cm`` or ``240pt`` in inches.

    Raises
    ------
    UsageError
        The text is no length with a unit, or it is below 1 or above 40 inches.
    """
    match = _LENGTH.fullmatch(text)
    if match is None or match[2].lower() not in INCHES:
        raise UsageError(f"{option} {text!r} is not a length", hint="write a number with in, cm, mm or pt: 3.3in")
    length = float(match[1]) * INCHES[match[2].lower()]
    if not _LEAST <= length <= _MOST:
        raise UsageError(f"{option} {text!r} is out of range", hint="choose a length between 1in and 40in")
    return length


def kind_of(path: Path) -> str:
    """Return the format of a file by its suffix.

    Raises
    ------
    UsageError
        The suffix is unknown, or a folder has this name.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        what = f"a figure cannot be written as {path.suffix!r}" if kind else "the figure's name has no suffix"
        raise UsageError(what, where=str(path), hint=f"end its name with a known one; {choice(kind, KINDS)}")
    if path.is_dir():
        raise UsageError("a folder has this name", where=str(path), hint="choose another name")
    return kind


def write_figure(figure: Figure, path: Path) -> str:
    """Write a figure in the format of the file's suffix; the same figure gives the same bytes.

    PDF embeds its fonts, SVG keeps text as text, and PNG has 300 dpi.

    Returns
    -------
    str
        The letters that the font lacks, in order of their code points. PDF and PNG show boxes in their place; the
        program that shows an SVG finds other fonts for them.

    Raises
    ------
    UsageError
        The suffix is unknown.
    ResultsError
        The file cannot be written.
    """
    kind = kind_of(path)
    write_page(path, render(figure, kind, paper=True, outlines=False))
    # Looked up after drawing, when every text of the figure exists.
    return "" if kind == "svg" else _missing_letters(figure)


def _missing_letters(figure: Figure) -> str:
    """Return the letters in a figure that have no glyph in the font of their text."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    fonts = [get_font(findfont(text.get_fontproperties())) for text in texts]
    pairs = [(letter, font) for text, font in zip(texts, fonts, strict=True) for letter in text.get_text()]
    return "".join(sorted({letter for letter, font in pairs if not letter.isspace() and not _has(font, letter)}))


def _has(font: FT2Font, letter: str) -> bool:
    return font.get_char_index(ord(letter)) != 0  # 0 is the glyph for what is missing
