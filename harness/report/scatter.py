"""A figure of any two figures of a run's rows, for notebooks and for print."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, ScalarFormatter

from harness.errors import UsageError
from harness.report.caveats import UNSETTLED, name_marks
from harness.report.drawing import SIZE, STYLE, TEXT, Point, any_letters, draw_labels, draw_points, log_axis
from harness.report.figure_foot import PAD, foot_lines, write_foot
from harness.report.labels import Box, text_width
from harness.report.numbers import TIMES, spell
from harness.report.palette import PAPER
from harness.report.quantities import Quantity, quantity
from harness.report.rows import Row, scored_rows
from harness.results.record import Interval
from harness.results.run_folder import RunFolder, find_entry
from harness.results.schema import Entry
from harness.text import single_line

SMALL_TEXT = 7.0
_NARROW = 4.5  # inches: the width of one column of a paper, with smaller text
# Ratio of the largest to the smallest value from which an axis is logarithmic.
_DECADE = 10.0
_POINTS = 72.0  # of an inch
_MOST_NAMES = 12  # in a remark
_POWER = 1e5  # from here on, numbers of an axis are written as powers of ten
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class NotebookFigure(Figure):
    """A figure that notebooks show, although no window system of matplotlib knows it."""

    def _repr_png_(self) -> bytes:
        """Return the image that a notebook shows."""
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=110, facecolor="white")
        return stream.getvalue()


@dataclass(frozen=True, slots=True)
class ScatterStyle:
    """How a scatter figure looks.

    Attributes
    ----------
    width, height
        Inches.
    log_x, log_y
        Whether an axis is logarithmic; None decides by the values.
    highlight
        Names or slugs of rows that are pointed out.
    models
        Names or slugs of the rows that are drawn; empty for all.
    baselines
        Whether interpolations are drawn.
    """

    width: float = SIZE[0]
    height: float = SIZE[1]
    log_x: bool | None = None
    log_y: bool | None = None
    highlight: Sequence[str] = ()
    models: Sequence[str] = ()
    baselines: bool = True

    @property
    def text(self) -> float:
        """Size of the text, points."""
        return SMALL_TEXT if self.width < _NARROW else TEXT


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """A figure and what its author must know of it, a sentence each."""

    figure: Figure
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class _Axis:
    quantity: Quantity
    logarithmic: bool

    def spread(self, values: Sequence[float], before: float, after: float) -> Interval:
        """Return the ends of the axis, with room of a share of its length on either side."""
        low, high = min(values), max(values)
        if self.logarithmic:
            # A single value, or equal ones, would give an axis without length.
            ratio = max(high / low, 1.5)
            return low / ratio**before, high * ratio**after
        room = (high - low) or abs(high) or 1.0
        return low - before * room, high + after * room


def scatter(folder: RunFolder, x: str, y: str, style: ScatterStyle | None = None) -> PaperFigure:
    """Draw one quantity against another.

    Submissions are circles, interpolations squares, figures that are lower bounds triangles. Lines through a mark are
    95 % intervals. A line joins the submissions that none surpasses in both, if it is known which values are better.

    Parameters
    ----------
    folder
        A run.
    x, y
        Names of quantities, see `harness.report.quantities.quantity`.
    style
        Size, scales, and which rows.

    Raises
    ------
    UsageError
        There is no such quantity or row, or no row has both quantities.
    """
    style = style or ScatterStyle()
    across, up = quantity(folder, x), quantity(folder, y)
    rows = chosen_rows(folder, style.models, baselines=style.baselines)
    pointed = [one.slug for one in scored_entries(folder, style.highlight)]
    points = [_point(row, across, up, row.entry.slug in pointed) for row in rows if _has(row, across, up)]
    axes_of = _Axis(across, _is_log(across, points, "x", style.log_x)), _Axis(up, _is_log(up, points, "y", style.log_y))
    # Values of 0 and below have no place on a logarithmic axis.
    kept = [point for point in points if _fits(point, axes_of)]
    absent = [slug for slug in pointed if slug not in {point.row.entry.slug for point in kept}]
    if not kept or absent:
        names = f"the highlighted row {absent[0]}" if absent else "no row"
        raise UsageError(f"{names} {'has not' if absent else 'has'} both {x} and {y}", where=str(folder.path),
                         hint="choose other columns, or an axis that is not logarithmic")  # fmt: skip
    return _drawn(folder, kept, axes_of, style, [point.row for point in points if point not in kept])


def chosen_rows(folder: RunFolder, models: Sequence[str], *, baselines: bool) -> list[Row]:
    """Return the scored rows of a figure, best first: those named, or all."""
    named = {entry.slug for entry in scored_entries(folder, models)}
    # Baselines that are named are drawn even if baselines are left out otherwise.
    rows = [row for row in scored_rows(folder) if row.entry.slug in named or not models]
    return rows if baselines or models else [row for row in rows if not row.baseline]


def scored_entries(folder: RunFolder, names: Sequence[str]) -> list[Entry]:
    """Return the entries of names or slugs.

    Raises
    ------
    UsageError
        There is none of a name, or it was not measured to the end.
    """
    entries = [find_entry(folder, name) for name in names]
    for entry in entries:
        if entry.error is not None:
            raise UsageError(
                f"{entry.name!r} cannot be drawn: it is {entry.status} ({entry.error.stage}: {entry.error.first_line})",
                hint="name a row that was measured to the end",
            )
    return entries


def _has(row: Row, *quantities: Quantity) -> bool:
    return all(one.value(row.entry) is not None for one in quantities)


def _point(row: Row, across: Quantity, up: Quantity, highlighted: bool) -> Point:
    entry = row.entry
    x, y = across.value(entry), up.value(entry)
    assert x is not None
    assert y is not None
    signs = [UNSETTLED.sign] if across.unsettled(entry) or up.unsettled(entry) else []
    signs += [mark.sign for mark in name_marks(entry)]
    return Point(
        row, x, y, radius=4.2 if highlighted else 3.2, at_least=across.lower_bound(entry),
        at_least_high=up.lower_bound(entry), highlighted=highlighted, signs="".join(signs),
    )  # fmt: skip


def _is_log(of: Quantity, points: Sequence[Point], which: str, wanted: bool | None) -> bool:
    """Return whether an axis is logarithmic: as wanted, or for times and sizes of several orders of magnitude.

    An interpolation without parameters does not count, because it has no place on a logarithmic axis.
    """
    if wanted is not None:
        return wanted
    values = [getattr(point, which) for point in points if not point.row.baseline]
    positive = [getattr(point, which) for point in points if getattr(point, which) > 0]
    return of.spans_decades and bool(positive) and min(values, default=1.0) > 0 and _decades(positive)


def _decades(positive: Sequence[float]) -> bool:
    return max(positive) / min(positive) > _DECADE


def _fits(point: Point, axes: tuple[_Axis, _Axis]) -> bool:
    return all(value > 0 or not axis.logarithmic for axis, value in zip(axes, (point.x, point.y), strict=True))


def _drawn(
    folder: RunFolder, points: list[Point], of: tuple[_Axis, _Axis], style: ScatterStyle, left_out: list[Row]
) -> PaperFigure:
    front = _front(points, of[0].quantity, of[1].quantity)
    joined = {id(point) for point in front}
    # Names are placed in this order as long as there is room, so those that matter come first.
    points = sorted(points, key=lambda point: (not point.highlighted, point.row.baseline, id(point) not in joined))
    notes = _notes(folder, points, of)
    # Hinted text has other widths at another resolution, so that what fits here would not fit in the file.
    with mpl.rc_context(STYLE | {"font.size": style.text, "text.hinting": "none"}):
        figure = NotebookFigure(figsize=(style.width, style.height))
        # A first guess; `_fit` sets the final position when the sizes of numbers and titles are known.
        axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
        bars = [[_finite(axis, point) for axis in of] for point in points]
        _scale(axes, "x", of[0], [point.x for point in points] + [end for x, _ in bars for end in x or ()])
        _scale(axes, "y", of[1], [point.y for point in points] + [end for _, y in bars for end in y or ()])
        lines = foot_lines(notes, style.width * _POINTS, style.text)
        _fit(figure, axes, write_foot(figure, lines, style.text))
        # After `_fit`, which decides how much room the numbers have.
        _thin_ticks(axes, of, style)
        boxes = _join(axes, front, of[0].quantity)
        for point, (x, y) in zip(points, bars, strict=True):
            axes.plot(x or [], [point.y] * len(x or ()), color=PAPER["muted"], lw=0.8, zorder=3)
            axes.plot([point.x] * len(y or ()), y or [], color=PAPER["muted"], lw=0.8, zorder=3)
        draw_points(axes, points[::-1])  # those that are pointed out lie above the others
        labels = draw_labels(axes, points, [*boxes, *_boxes(axes, points, bars)], style.text, clear_leaders=True)
    named = {label.mark.text for label in labels}
    nameless = [point.row for point in points if point.label not in named]
    return PaperFigure(figure, _remarks(folder, nameless, left_out))


def _finite(axis: _Axis, point: Point) -> Interval | None:
    """Return the interval of a point on an axis, or None if the axis cannot show it."""
    ends = axis.quantity.interval(point.row.entry)
    return None if ends is None or (axis.logarithmic and min(ends) <= 0) else ends


def _scale(axes: Axes, which: str, axis: _Axis, values: Sequence[float]) -> None:
    """Set the scale, the ends and the title of an axis; the right and the upper end have room for labels."""
    low, high = axis.spread(values, 0.07, 0.16 if which == "x" else 0.1)
    if axis.logarithmic:
        log_axis(axes, which, low, high)
        form: Formatter = FuncFormatter(lambda value, _: _spell(value))
    else:
        (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
        form = ScalarFormatter(useOffset=False)
    (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(form)
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(axis.quantity.title)


def _spell(value: float) -> str:
    """Return a number of a logarithmic axis."""
    if value < _POWER:
        return spell(value)
    # One digit is enough: ticks are at 1, 2 and 5.
    digit, _, power = f"{value:.0e}".partition("e")
    return f"{'' if digit == '1' else digit + TIMES}10{str(int(power)).translate(_RAISED)}"


def _fit(figure: Figure, axes: Axes, foot: float) -> None:
    """Let the axes with their numbers and titles fill the figure above a foot, which is given in points."""
    width, height = (length * _POINTS for length in figure.get_size_inches())
    for _ in range(2):  # the numbers of an axis may change with its length
        with any_letters():
            figure.draw_without_rendering()
            frame, whole = axes.get_window_extent(), axes.get_tightbbox()
        assert whole is not None
        left, bottom = PAD + frame.x0 - whole.x0, PAD + foot + frame.y0 - whole.y0
        right = width - PAD - max(0.0, whole.x1 - frame.x1)
        top = height - PAD - max(0.0, whole.y1 - frame.y1)
        if right - left < width / 4 or top - bottom < height / 4:
            raise UsageError("the figure is too small for its text", hint="set --width and --height to more")
        axes.set_position((left / width, bottom / height, (right - left) / width, (top - bottom) / height))


def _thin_ticks(axes: Axes, of: tuple[_Axis, _Axis], style: ScatterStyle) -> None:
    """Leave out numbers of a logarithmic horizontal axis that would touch."""
    low, high = axes.get_xlim()
    if of[0].logarithmic:
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        room = axes.get_window_extent().width / max(1, len(ticks))
        if max((text_width(_spell(tick), style.text) for tick in ticks), default=0.0) > room:
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0,), numticks=20))


def _front(points: Sequence[Point], across: Quantity, up: Quantity) -> list[Point]:
    """Return the submissions that none surpasses in both, from left to right; none if better values are unknown."""
    signs = {"high": -1.0, "low": 1.0}
    if across.better is None or up.better is None:
        return []
    # A lower bound, or what rests on one, cannot be on the front: its true value may be worse.
    candidates = [one for one in points if not one.row.baseline]
    rivals = [one for one in candidates if across.exact(one.row.entry) and up.exact(one.row.entry)]
    cost = [(signs[across.better] * one.x, signs[up.better] * one.y) for one in rivals]
    best, front = float("inf"), []
    # From the best to the worst across; a point is on the front if it is better up than all before it.
    for _, at in sorted((pair, at) for at, pair in enumerate(cost)):
        if cost[at][1] < best:
            best = cost[at][1]
            front.append(rivals[at])
    return sorted(front, key=lambda point: point.x)


def _join(axes: Axes, front: Sequence[Point], across: Quantity) -> list[Box]:
    """Draw the Pareto front as steps; return the bounding boxes of its segments."""
    if len(front) < 2:
        return []
    # Between two marks, the line has the level of the one that is better across: no mark reaches more there.
    where: Any = "post" if across.better == "low" else "pre"
    axes.step([p.x for p in front], [p.y for p in front], where=where, color=PAPER["front"], lw=0.9, zorder=2)
    boxes = []
    for (left, first), (right, second) in pairwise(axes.transData.transform([(p.x, p.y) for p in front])):
        level, edge = (first, right) if where == "post" else (second, left)
        boxes.append(Box(left, level - 1, right, level + 1))
        boxes.append(Box(edge - 1, min(first, second), edge + 1, max(first, second)))
    return boxes


def _boxes(axes: Axes, points: Sequence[Point], bars: Sequence[Sequence[Interval | None]]) -> list[Box]:
    """Return the bounding boxes of intervals, which labels must not cover."""
    boxes = []
    for point, (x, y) in zip(points, bars, strict=True):
        ends = [(end, point.y) for end in x or ()] + [(point.x, end) for end in y or ()]
        for (left, low), (right, high) in zip(ends[::2], ends[1::2], strict=True):
            (a, b), (c, d) = axes.transData.transform([(left, low), (right, high)])
            boxes.append(Box(min(a, c) - 0.5, min(b, d) - 0.5, max(a, c) + 0.5, max(b, d) + 0.5))
    return boxes


def _notes(folder: RunFolder, points: Sequence[Point], of: tuple[_Axis, _Axis]) -> list[str]:
    """Return what stands at the foot of the figure."""
    marks = [mark for point in points for mark in [UNSETTLED, *name_marks(point.row.entry)] if mark.sign in point.signs]
    notes = [f"{mark.sign} {mark.meaning}" for mark in dict.fromkeys(marks)]
    if any(point.at_least or point.at_least_high for point in points):
        notes.append("triangles: lower bounds, operators that could not be counted are left out")
    if folder.run.disturbances and any(axis.quantity.of_time for axis in of):
        notes.append("measured on a machine that was disturbed")
    if not folder.run.run.complete:
        notes.append("the run was interrupted: submissions may be missing")
    return notes


def _remarks(folder: RunFolder, nameless: Sequence[Row], left_out: Sequence[Row]) -> list[str]:
    """Return what the author of a paper must know."""
    remarks = [f"warning of the run: {single_line(text, 300)}" for text in folder.run.warnings]
    if left_out:
        remarks.append(f"left out, because a logarithmic axis has no place for 0: {_names(left_out)}")
    if nameless:
        remarks.append(
            f"no room for the names of: {_names(nameless)}. Give more --width or --height, or fewer --models"
        )
    return remarks


def _names(rows: Sequence[Row]) -> str:
    rest = f" and {len(rows) - _MOST_NAMES} more" if len(rows) > _MOST_NAMES else ""
    return ", ".join(single_line(row.entry.name, 60) for row in rows[:_MOST_NAMES]) + rest
