"""Style of all figures, and scatter plots with labelled marks."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from harness.report.labels import Box, Label, Mark, place_labels
from harness.report.numbers import fixed, spell
from harness.report.palette import PAPER
from harness.report.rows import Row
from harness.text import without_middle

# Width and height in inches, size of text in points, and characters of the longest label.
SIZE = (6.4, 4.7)
TEXT = 8.5
LONGEST = 26

STYLE: Any = {
    "font.size": TEXT,
    "text.color": PAPER["ink"],
    # A dollar sign in a name does not begin a formula.
    "text.parse_math": False,
    "axes.edgecolor": PAPER["muted"],
    "axes.labelcolor": PAPER["ink"],
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "grid.color": PAPER["rule"],
    "grid.linewidth": 0.6,
    "xtick.color": PAPER["muted"],
    "ytick.color": PAPER["muted"],
    "xtick.labelcolor": PAPER["muted"],
    "ytick.labelcolor": PAPER["muted"],
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.major.width": 0.6,
    "figure.facecolor": "none",
    # At 72 dpi a pixel is a point, the unit in which labels are placed.
    "figure.dpi": 72,
    "svg.fonttype": "none",
    # Without a fixed salt, ids in SVG files differ from run to run.
    "svg.hashsalt": "harness",
    "path.simplify": False,
}


@dataclass(frozen=True, slots=True)
class Point:
    """One mark of a scatter plot; ``radius`` is in points.

    ``low``: the value lies below the axis; ``at_least``: the value on the horizontal axis is a lower bound;
    ``at_least_high``: that on the vertical axis is; ``highlighted``: it is pointed out; ``signs`` follow its name.
    """

    row: Row
    x: float
    y: float
    radius: float = 3.6
    low: bool = False
    at_least: bool = False
    at_least_high: bool = False
    highlighted: bool = False
    signs: str = ""

    @property
    def label(self) -> str:
        """The name, with its signs."""
        return short(self.row.entry.name) + self.signs


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure, its text alternative, and the row that each id in it belongs to."""

    name: str
    title: str
    caption: str
    description: str
    figure: Figure
    targets: Mapping[str, str]


def new_axes(width: float = SIZE[0], height: float = SIZE[1]) -> tuple[Figure, Axes]:
    """Return an empty figure with a margin on the right for the labels of curves."""
    # `Figure` without pyplot: no window system, and nothing that outlives the figure.
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.095, 0.115, 0.845, 0.865))
    return figure, axes


def log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Make an axis logarithmic, with ticks at 1, 2 and 5 of each decade, or at 1 if there are many decades."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    # 3000: three and a half decades, beyond which ticks at 2 and 5 are too close.
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 3000 else (1.0,), numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: spell(value)))


def plain_numbers(axes: Axes) -> None:
    """Format the ticks of the vertical axis as numbers are formatted in the table."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: fixed(value, 2).rstrip("0").rstrip(".")))


def short(name: str) -> str:
    """Shorten a name to the length of a label and remove control characters."""
    name = "".join(letter for letter in name if letter.isprintable())
    return without_middle(name, LONGEST)


def draw_points(axes: Axes, points: Sequence[Point]) -> dict[str, str]:
    """Draw the marks; return the anchor of the row by the id of its mark."""
    targets = {}
    for point in points:
        # `gid` becomes the id of the element in SVG, by which the page relates a mark to its row.
        line = axes.plot([point.x], [point.y], gid=f"mark-{point.row.anchor}", **_mark_style(point))[0]
        # A mark on the edge of the axes is drawn as a whole.
        line.set_clip_on(False)
        targets[f"mark-{point.row.anchor}"] = point.row.anchor
    return targets


def _mark_style(point: Point) -> dict[str, Any]:
    hue = PAPER["band0"] if point.highlighted else PAPER["base"] if point.row.baseline else PAPER["mark"]
    hollow = point.row.baseline or point.row.entry.reconstructed
    return {
        "marker": _shape(point),
        "markersize": 2 * point.radius,
        "markerfacecolor": PAPER["ground"] if hollow else hue,
        "markeredgecolor": hue if hollow else PAPER["ground"],
        "markeredgewidth": 1.2 if hollow else 0.7,
        "linestyle": "none",
        "zorder": 4,
    }


def _shape(point: Point) -> str:
    # Keyed by the conditions: the entry under True is the last one that holds.
    bounds = {point.low: "v", point.at_least_high: "^", point.at_least: ">"}
    return bounds.get(True) or ("D" if point.highlighted else "s" if point.row.baseline else "o")


def draw_labels(
    axes: Axes,
    points: Sequence[Point],
    obstacles: Sequence[Box] = (),
    size: float = TEXT,
    *,
    clear_leaders: bool = False,
) -> list[Label]:
    """Label the marks where there is room, in ``size`` points, as :func:`place_labels` does."""
    frame = axes.get_window_extent()
    bounds = Box(frame.x0 + 1, frame.y0 + 1, frame.x1 + 1, frame.y1 - 9)
    marks = [_mark(axes, point) for point in points]
    labels = place_labels(marks, bounds, size, obstacles, clear_leaders=clear_leaders)
    # By `id`, because several marks may be equal.
    labelled = {id(mark): point for mark, point in zip(marks, points, strict=True)}
    for label in labels:
        _write(axes, label, labelled[id(label.mark)], size)
    return labels


def _mark(axes: Axes, point: Point) -> Mark:
    x, y = axes.transData.transform((point.x, point.y))
    return Mark(float(x), float(y), point.radius, point.label, point.highlighted)


def _write(axes: Axes, label: Label, point: Point, size: float) -> None:
    box, mark = label.box, label.mark
    unmap = axes.transAxes.inverted().transform
    # Anchored at the side of the mark, because the width of a label is only estimated.
    align = "left" if box.left >= mark.x else "right" if box.right <= mark.x else "center"
    x = {"left": box.left, "right": box.right, "center": (box.left + box.right) / 2}[align]
    middle = (box.bottom + box.top) / 2
    place = unmap((x, middle))
    axes.text(
        place[0],
        place[1],
        label.mark.text,
        transform=axes.transAxes,
        ha=align,
        va="center_baseline",
        color=PAPER["band0"] if point.highlighted else PAPER["muted"] if point.row.baseline else PAPER["ink"],
        weight="bold" if point.highlighted else "normal",
        size=size,
        zorder=5,
    )
    # A thin line from the mark to the nearest edge of a label that is not directly beside it.
    if label.far:
        edge = middle if align != "center" else box.bottom if box.bottom > mark.y else box.top
        start, end = unmap((mark.x, mark.y)), unmap((x, edge))
        axes.plot(
            [start[0], end[0]], [start[1], end[1]], transform=axes.transAxes, color=PAPER["muted"], lw=0.5, zorder=3
        )


@contextmanager
def any_letters() -> Iterator[None]:
    """Let names have letters that the font lacks, which are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        yield


def render(figure: Figure, kind: str, *, paper: bool = False, outlines: bool = True) -> bytes:
    """Return the figure as ``svg``, ``pdf`` or ``png``; the same figure gives the same bytes.

    PNG has 300 dpi and a white background. With ``paper``, PDF embeds TrueType fonts, and text becomes outlines in SVG
    unless ``outlines`` is false.
    """
    # Dates and versions would make files of equal figures differ.
    dates: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    # 42 stands for TrueType. Publishers reject Type 3 fonts, matplotlib's default.
    style = STYLE | ({"svg.fonttype": "path" if outlines else "none", "pdf.fonttype": 42} if paper else {})
    ground = "white" if kind == "png" else "none"
    stream = io.BytesIO()
    with any_letters(), mpl.rc_context(style):
        figure.savefig(stream, format=kind, metadata=dates[kind], dpi=300 if kind == "png" else 72, facecolor=ground)
    return stream.getvalue()
