"""Layout of the pictures of a crop: in lines, beside the whole image if there is room for it."""

from dataclasses import dataclass
from math import ceil

GAP = 4.0
"""Points between pictures."""
CAPTION = 19.0
"""Points below a picture, for two lines of text."""
_LEAST = 57.0  # points: a picture that is narrower has no room for its figures
_WIDEST_OVERVIEW = 0.45  # of the figure's width


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the pictures of one crop go, in points.

    Attributes
    ----------
    columns, lines
        Pictures in a line, and lines.
    width, height
        Of each picture.
    overview
        Width of the whole image at the left; 0 if there is none.
    """

    columns: int
    lines: int
    width: float
    height: float
    overview: float

    @property
    def total(self) -> float:
        """Height of all lines with their captions."""
        return self.lines * (self.height + CAPTION)


def layout_of(cells: int, width: float, aspect: float, whole: float | None) -> Layout:
    """Return where pictures go, in as few lines as leave each picture its least width.

    Parameters
    ----------
    cells
        Number of pictures.
    width
        Of the figure, points.
    aspect
        Width of a crop over its height.
    whole
        Width of the whole image over its height; None for a grid without it. It is left out where it has no room.
    """
    for lines in range(1, cells + 1):
        # `between`: height of the captions between the lines, which the whole image spans too.
        columns, between = ceil(cells / lines), (lines - 1) * CAPTION
        if whole is not None:
            # The whole image is as high as the lines beside it, from the first picture to the last.
            # From width = columns * (picture + GAP) + overview, with the overview as below.
            picture = (width - columns * GAP - whole * between) / (columns + whole * lines / aspect)
            overview = whole * (lines * picture / aspect + between)
            if picture >= _LEAST and overview <= _WIDEST_OVERVIEW * width:
                return Layout(columns, lines, picture, picture / aspect, overview)
    for lines in range(1, cells + 1):
        columns = ceil(cells / lines)
        picture = (width - (columns - 1) * GAP) / columns
        # One column is the last resort, whatever its width.
        if picture >= _LEAST or columns == 1:
            break
    return Layout(columns, lines, picture, picture / aspect, 0.0)
