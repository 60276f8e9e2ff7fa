"""The figures of a run: quality and score against runtime, quality against operations."""

import math
from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from harness.report.bands import Band, bands_of, named_limits
from harness.report.columns import has_log_scores
from harness.report.drawing import (
    STYLE,
    TEXT,
    Drawn,
    Point,
    draw_labels,
    draw_points,
    log_axis,
    new_axes,
    plain_numbers,
)
from harness.report.labels import Box
from harness.report.numbers import TIMES, spell
from harness.report.palette import PAPER
from harness.report.rows import Row
from harness.report.rules import NAMES, Metric, Score, bicubic_of, gate_lines, quality
from harness.results.record import Interval
from harness.results.schema import Entry, Run
from harness.text import pluralized

# The quality axis ends this far below bicubic, or below the best model if that is worse. Lower values are drawn at
# its lower end.
DEEPEST_DB = 2.0
# No larger score is stored as a number, but for rounding errors; see `statistics.score_difference.LARGEST_LOG`.
LARGEST_SCORE = 0.99e300
_BELOW = " Triangles that point down: below the axis."


def draw_figures(run: Run, rows: Sequence[Row], score: Score | None, metric: Metric = "psnr_rgb") -> list[Drawn]:
    """Draw every figure that the rows have data for, best row first.

    Parameters
    ----------
    score
        The track's score, for the curves of equal score; None where the run does not store it.
    metric
        Which PSNR the track scores.
    """
    with mpl.rc_context(STYLE):
        drawn = [psnr_runtime(run, rows, score, metric), score_runtime(run, rows), psnr_macs(run, rows, metric)]
    return [figure for figure in drawn if figure is not None]


def psnr_runtime(run: Run, rows: Sequence[Row], score: Score | None, metric: Metric) -> Drawn | None:
    """Draw PSNR against runtime, with curves of equal score and the Pareto front."""
    floor = _floor(run, rows, metric)
    points = [
        Point(row, row.runtime, max(psnr, floor), low=psnr < floor)
        for row in rows
        if row.runtime and (psnr := quality(row.entry, metric)) is not None
    ]
    if not points:
        return None
    figure, axes = new_axes()
    strip = _runtime_axis(axes, points, run)
    gates = sorted({gate.level for gate in gate_lines(run) if metric in gate.keys})
    levels = [*bicubic_of(run), *gates]
    _quality_axis(axes, points, levels, metric)
    if score is not None:
        _equal_scores(axes, score, [row.entry.score for row in rows if row.entry.score])
    line = _front(axes, points)
    for point in points:
        # The interval of the time; PSNR has none in the table.
        if point.row.entry.runtime_ms:
            axes.plot(point.row.entry.runtime_ms.ci, [point.y, point.y], color=PAPER["muted"], lw=0.8, zorder=3)
    targets = draw_points(axes, points)
    lines = [_level_line(axes, level) for level in levels]
    draw_labels(axes, points, [*strip, *line, *lines])
    title = "Quality against runtime"
    text = _described(f"{NAMES[metric]} against runtime on a logarithmic axis", points)
    curves = "Grey curves join equal scores, the brown line" if score is not None else "The brown line joins"
    dashed = " and ".join(["bicubic"] * bool(bicubic_of(run)) + ["the gates"] * bool(gates))
    caption = f"{curves} the models that none beats in both{f'; dashed: {dashed}' if dashed else ''}."
    caption += _BELOW * any(point.low for point in points)
    return Drawn("psnr-runtime", title, caption, text, figure, targets)


def _described(what: str, points: Sequence[object]) -> str:
    """Return the alternative text of a figure with one mark for each model."""
    return f"{what} for {pluralized(len(points), 'model')}; the table has every figure."


def _floor(run: Run, rows: Sequence[Row], metric: Metric) -> float:
    """Return the lower end of the quality axis, dB."""
    # A network far below the others would compress the axis for all of them.
    best = max((psnr for row in rows if (psnr := quality(row.entry, metric)) is not None), default=math.inf)
    return min([*bicubic_of(run), best]) - DEEPEST_DB


def score_runtime(run: Run, rows: Sequence[Row]) -> Drawn | None:
    """Draw the score, with its interval, against runtime; its decimal logarithm where the run stores that."""
    # Such scores span hundreds of decades, which no linear axis shows.
    logarithmic = has_log_scores(row.entry for row in rows)
    points = [
        Point(row, row.runtime, float(score))
        for row in rows
        if row.runtime and (score := row.entry.score_log10 if logarithmic else row.entry.score) is not None
    ]
    if not points:
        return None
    figure, axes = new_axes()
    strip = _runtime_axis(axes, points, run)
    intervals = [_log10_interval(point.row.entry) if logarithmic else point.row.entry.score_ci for point in points]
    # A logarithm of 0 is a score like any other, and intervals of logarithms may be longer than the scores are apart.
    values = [end for ends in intervals if ends for end in ends] if logarithmic else [0.0]
    high, low = max([point.y for point in points] + values), min([point.y for point in points] + values)
    # More room above than below, for labels.
    axes.set_ylim(low - 0.04 * (high - low or 1), high + 0.12 * (high - low or 1))
    axes.set_ylabel("log10 of the score" if logarithmic else "score")
    plain_numbers(axes)
    for point, interval in zip(points, intervals, strict=True):
        if interval:
            axes.plot([point.x, point.x], interval, color=PAPER["muted"], lw=0.8, zorder=3)
    targets = draw_points(axes, points)
    draw_labels(axes, points, strip)
    what = "Decimal logarithm of the score" if logarithmic else "Score"
    text = _described(f"{what} against runtime on a logarithmic axis", points)
    caption = "Upright lines are 95 % intervals; the strip at the foot shows the bands of frames per second."
    return Drawn("score-runtime", "Score against runtime", caption, text, figure, targets)


def _log10_interval(entry: Entry) -> Interval | None:
    """Return the interval of the logarithm of a score; None if it is not known."""
    if entry.score_log10_ci is not None or entry.score_ci is None:
        return entry.score_log10_ci
    # Runs of earlier releases store that of the score alone, whose ends may be those of the numbers that are stored.
    low, high = entry.score_ci
    return (math.log10(low), math.log10(high)) if low > 0 and high < LARGEST_SCORE else None


def psnr_macs(run: Run, rows: Sequence[Row], metric: Metric) -> Drawn | None:
    """Draw PSNR against multiply-accumulates; a mark's area increases with the parameters."""
    floor = _floor(run, rows, metric)
    points = [
        Point(
            row,
            row.entry.macs / 1e9,
            max(psnr, floor),
            _radius(row.entry.params),
            low=psnr < floor,
            at_least=bool(row.entry.incomplete_ops),
        )
        for row in rows
        if not row.baseline and row.entry.macs and (psnr := quality(row.entry, metric)) is not None
    ]
    if not points:
        return None
    figure, axes = new_axes()
    low, high = min(point.x for point in points), max(point.x for point in points)
    log_axis(axes, "x", low / 1.8, high * 2.2)
    axes.set_xlabel("multiply-accumulates of one forward pass, G")
    _quality_axis(axes, points, bicubic_of(run), metric)
    # Large marks first, so that small ones lie above them.
    targets = draw_points(axes, sorted(points, key=lambda point: -point.radius))
    draw_labels(axes, points, [_size_key(axes), *(_level_line(axes, level) for level in bicubic_of(run))])
    models = pluralized(len(points), "model")
    text = f"{NAMES[metric]} against multiply-accumulates for {models}; larger marks have more parameters."
    dashed = "; dashed: bicubic" if bicubic_of(run) else ""
    caption = f"The larger a mark, the more parameters; hollow: reconstructed{dashed}."
    if any(point.at_least for point in points):
        caption += " Triangles that point right: at least so many operations."
    caption += _BELOW * any(point.low for point in points)
    return Drawn("psnr-macs", "Quality against operations", caption, text, figure, targets)


def _radius(params: int | None) -> float:
    """Return a mark's radius in points, in steps of a quarter: 2 at a thousand parameters and less, 11 at a million."""
    # 2 points for 1000 parameters and 3 more for each factor of ten.
    return round(4 * (2.0 + 3.0 * max(0.0, float(np.log10((params or 0) + 1)) - 3.0))) / 4


def _size_key(axes: Axes) -> Box:
    """Draw the legend of mark sizes at the upper left; return its bounding box in points."""
    frame = axes.get_window_extent()
    unmap = axes.transAxes.inverted().transform
    x, y = frame.x0 + 8, frame.y1 - 14
    for params, name in ((1_000, "1 K"), (30_000, "30 K"), (1_000_000, "1 M parameters")):
        radius = _radius(params)
        place = unmap((x + radius, y))
        axes.plot(
            [place[0]],
            [place[1]],
            "o",
            transform=axes.transAxes,
            ms=2 * radius,
            mfc="none",
            mec=PAPER["muted"],
            mew=0.7,
        )
        edge = unmap((x + 2 * radius + 3, y))
        axes.text(
            edge[0], edge[1], name, transform=axes.transAxes, va="center_baseline", color=PAPER["muted"], size=TEXT - 1
        )
        # The width of a letter of this size is estimated as 4.4 points.
        x += 2 * radius + 7 + 4.4 * len(name)
    return Box(frame.x0, y - 14, x, frame.y1)


def _quality_axis(axes: Axes, points: Sequence[Point], levels: Sequence[float], metric: Metric) -> None:
    """Set up the axis of quality with a dashed line at each level."""
    values = [*levels, *(point.y for point in points)]
    low, high = min(values), max(values)
    room = (high - low) or 1.0
    axes.set_ylim(low - 0.07 * room, high + 0.12 * room)
    axes.set_ylabel(f"{NAMES[metric]}, dB")
    for level in levels:
        axes.axhline(level, color=PAPER["base"], lw=0.8, ls=(0, (4, 3)), zorder=2)
    plain_numbers(axes)


def _level_line(axes: Axes, level: float) -> Box:
    """Return the bounding box of a dashed line, which labels must not cover."""
    frame = axes.get_window_extent()
    y = float(axes.transData.transform((axes.get_xlim()[0], level))[1])
    return Box(frame.x0, y - 1, frame.x1, y + 1)


def _runtime_axis(axes: Axes, points: Sequence[Point], run: Run) -> list[Box]:
    """Set up the runtime axis; return the bounding boxes of its class labels."""
    low, high = min(point.x for point in points), max(point.x for point in points)
    # The right end has room for labels, which are placed at the right of marks first.
    log_axis(axes, "x", low / 1.35, high * 1.9)
    shape = run.protocol.output_shape
    axes.set_xlabel(f"{run.protocol.statistic} runtime of one frame at {shape[3]}{TIMES}{shape[2]}, ms")
    return _speed_strip(axes, bands_of(run.track.fps_bands))


def _speed_strip(axes: Axes, bands: Sequence[Band]) -> list[Box]:
    """Draw the classes of speed along the lower edge in the table's colours; return the boxes of their labels."""
    low, high = axes.get_xlim()
    frame = axes.get_xaxis_transform()
    for band in bands:
        # From frames per second to milliseconds, by which the fast end of a class becomes its left end.
        left, right = max(low, 1000 / band.high), min(high, 1000 / band.low if band.low else high)
        if left < right:
            axes.plot([left, right], [0, 0], transform=frame, color=PAPER[f"band{band.index}"], lw=3.2,
                      solid_capstyle="butt", clip_on=False, zorder=6)  # fmt: skip
    return _name_speeds(axes, named_limits(bands), low, high)


def _name_speeds(axes: Axes, limits: Sequence[float], low: float, high: float) -> list[Box]:
    """Label the limits between classes where there is room; return the boxes of the labels."""
    frame, taken = axes.get_window_extent(), list[Box]()
    for edge in limits:
        if low < 1000 / edge < high:
            x = float(axes.transData.transform((1000 / edge, axes.get_ylim()[0]))[0])
            box = Box(x - 15, frame.y0, x + 15, frame.y0 + 12)
            if not any(box.meets(other) for other in taken):
                taken.append(box)
                axes.text(
                    1000 / edge, 0.012, f"{edge:g} fps", transform=axes.get_xaxis_transform(), ha="center",
                    va="bottom", color=PAPER["muted"], size=TEXT - 1.5,
                )  # fmt: skip
    return taken


def _front(axes: Axes, points: Sequence[Point]) -> list[Box]:
    """Draw the Pareto front; return the bounding boxes of its segments."""
    front = sorted((point for point in points if point.row.pareto), key=lambda point: point.x)
    axes.step([p.x for p in front], [p.y for p in front], where="post", color=PAPER["front"], lw=0.9, zorder=2)
    places = [axes.transData.transform((point.x, point.y)) for point in front]
    boxes = []
    for (left, low), (right, high) in pairwise(places):
        # One box for the horizontal and one for the vertical part of a step.
        boxes += [Box(left, low - 1, right, low + 1), Box(right - 1, low, right + 1, high)]
    return boxes


def _equal_scores(axes: Axes, score: Score, scores: Sequence[float]) -> None:
    """Draw curves of equal score, labelled at their right end."""
    levels = _levels(scores)
    if not levels:
        return
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    # 90 places along each axis: curves look smooth, and the score is computed 8100 times.
    times, psnrs = np.geomspace(left, right, 90), np.linspace(bottom, top, 90)
    surface = score(*np.meshgrid(psnrs, times, indexing="ij"))
    # A score of 0 has no curve: it covers an area.
    surface = np.where(surface > 0, surface, np.nan)
    contours = axes.contour(times, psnrs, surface, levels=levels, colors=PAPER["curve"], linewidths=0.8, zorder=1)
    # A level may have several segments, or none within the axes. The label goes to its rightmost point.
    for level, segments in zip(levels, contours.allsegs, strict=True):
        if len(segments) and len(segments[0]):
            x, y = max((point for segment in segments for point in segment), key=lambda point: point[0])
            # A curve that ends at the upper edge has its label below the edge, others at the right end.
            upper = y > top - 0.02 * (top - bottom)
            axes.annotate(spell(level), (x, y), xytext=(0, -1) if upper else (3, 0), textcoords="offset points",
                          ha="right" if upper else "left", va="top" if upper else "center", size=TEXT - 1,
                          color=PAPER["muted"], annotation_clip=False)  # fmt: skip


def _levels(scores: Sequence[float]) -> list[float]:
    """Return at most seven round scores, from slightly below the worst to twice the best."""
    positive = [value for value in scores if value > 0]
    if not positive:
        return []
    decades = range(int(np.floor(np.log10(min(positive)))), int(np.ceil(np.log10(max(positive)))) + 1)
    round_ones = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    # If there are more, the seven highest, where the best rows are.
    return [value for value in round_ones if min(positive) * 0.7 <= value <= max(positive) * 2][-7:]
