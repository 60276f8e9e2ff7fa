"""Notes at the foot of a figure for print."""

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from harness.report.palette import PAPER

PAD = 4.0
"""Points between the edge of a figure and its text."""
_SMALLER = 1.5  # points below the size of other text
_SENTENCE_EM = 0.55  # width of a letter of a sentence
_POINTS = 72.0  # of an inch


def foot_lines(notes: Sequence[str], width: float, text: float) -> list[str]:
    """Break notes into lines.

    Parameters
    ----------
    notes
        Sentences.
    width
        Of the figure, points.
    text
        Size of the figure's other text, points.
    """
    # Estimated by a mean letter, because the text is wrapped before the figure exists.
    letters = int((width - 2 * PAD) / ((text - _SMALLER) * _SENTENCE_EM))
    return [line for note in notes for line in textwrap.wrap(note, max(20, letters))]


def write_foot(figure: Figure | None, lines: Sequence[str], text: float) -> float:
    """Write lines at the foot of a figure, if there is one yet; return their height in points."""
    size = text - _SMALLER
    height = size * 1.3
    if figure is not None:
        width, whole = (length * _POINTS for length in figure.get_size_inches())
        # From the bottom upwards.
        for at, line in enumerate(reversed(lines)):
            figure.text(PAD / width, (PAD + at * height) / whole, line, size=size, color=PAPER["muted"])
    return height * len(lines) + (PAD if lines else 0)
