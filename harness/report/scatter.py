"""A figure of any two columns of a run."""

import io

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.errors import UsageError
from harness.report.columns import Column
from harness.report.drawing import SIZE, STYLE, Point, draw_labels, draw_points, log_axis, plain_numbers
from harness.report.exports import chosen_columns
from harness.report.rows import scored_rows
from harness.results.run_folder import RunFolder

_WIDE = 10.0
"""Ratio of the largest to the smallest value from which the horizontal axis is logarithmic."""


class NotebookFigure(Figure):
    """A figure that notebooks show, although no window system of matplotlib knows it."""

    def _repr_png_(self) -> bytes:
        """Return the image that a notebook shows."""
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=110, facecolor="white")
        return stream.getvalue()


def scatter(folder: RunFolder, x: str, y: str) -> Figure:
    """Draw one column against another.

    Parameters
    ----------
    folder
        A run.
    x, y
        Keys of columns, see `harness.report.exports.chosen_columns`.

    Raises
    ------
    UsageError
        There is no such column, or no row has both.
    """
    across, up = chosen_columns(folder, [x, y])
    points = [
        Point(row, right, high, at_least=across.lower_bound(row.entry))
        for row in scored_rows(folder)
        if (right := across.value(row.entry)) is not None and (high := up.value(row.entry)) is not None
    ]
    if not points:
        raise UsageError(f"no row has both {x} and {y}", where=str(folder.path), hint="choose other columns")
    with mpl.rc_context(STYLE):
        figure = NotebookFigure(figsize=SIZE)
        axes = figure.add_axes((0.095, 0.115, 0.845, 0.865))
        _horizontal(axes, [point.x for point in points])
        _vertical(axes, [point.y for point in points])
        axes.set_xlabel(_title(across))
        axes.set_ylabel(_title(up))
        draw_points(axes, points)
        draw_labels(axes, points)
    return figure


def _title(column: Column) -> str:
    return f"{column.title}, {column.unit}" if column.unit else column.title


def _horizontal(axes: Axes, values: list[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high / low > _WIDE:
        log_axis(axes, "x", low / 1.35, high * 1.9)
    else:
        room = (high - low) or abs(high) or 1.0
        axes.set_xlim(low - 0.07 * room, high + 0.25 * room)


def _vertical(axes: Axes, values: list[float]) -> None:
    low, high = min(values), max(values)
    room = (high - low) or abs(high) or 1.0
    axes.set_ylim(low - 0.07 * room, high + 0.12 * room)
    plain_numbers(axes)
