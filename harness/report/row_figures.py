"""Figures with one line per model: spread over images, ranges of ranks, reparameterization, loss of precision."""

from collections.abc import Iterable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report.drawing import STYLE, TEXT, Drawn, log_axis, short
from harness.report.images import bicubic_slug, gains
from harness.report.labels import text_width
from harness.report.palette import PAPER
from harness.report.rows import Row
from harness.report.rules import NAMES, metric_of
from harness.results.run_folder import RunFolder
from harness.text import pluralized

MOST_ROWS = 24
# Inches: width of a figure, height of a line, and height besides the lines.
WIDTH, LINE, MARGINS = 6.4, 0.21, 0.75
POINTS = 72  # of an inch
# Share of the width for the names; more if one needs it.
NAMES_SHARE = 0.27
NAMES_PAD = 6.0  # points between the names and the lines
CAPITAL_EM = 0.12  # by which capitals are wider than the estimate for a letter
# Losses of precision under this are shown by no display.
SEEN_DB = 0.0005


def row_figures(folder: RunFolder, rows: Sequence[Row]) -> list[Drawn]:
    """Draw every figure of this kind that the run has data for, best row at the top."""
    with mpl.rc_context(STYLE):
        drawn = [image_spread(folder, rows), rank_ranges(rows), reparameterized(rows), precision_drop(folder, rows)]
    return [figure for figure in drawn if figure is not None]


def image_spread(folder: RunFolder, rows: Sequence[Row]) -> Drawn | None:
    """Draw each model's gain over bicubic on every image, and the mean."""
    reference = bicubic_slug(folder)
    known = [(row, gained) for row in rows if row.entry.slug != reference and (gained := gains(folder, row.entry.slug))]
    # The spread over one image says nothing.
    if not known or len(known[0][1]) < 2:
        return None
    figure, axes = _lines([row for row, _ in known[:MOST_ROWS]])
    for place, (row, gained) in enumerate(known[:MOST_ROWS]):
        values = list(gained.values())
        axes.plot(values, [place] * len(values), "o", ms=3.4, mfc=_hue(row), mec="none", alpha=0.55, gid=_gid(row))
        mean = float(np.mean(values))
        axes.plot([mean, mean], [place - 0.34, place + 0.34], color=PAPER["ink"], lw=1.1)
    axes.axvline(0.0, color=PAPER["base"], lw=0.8, ls=(0, (4, 3)), zorder=1)
    axes.set_xlabel(f"{NAMES[metric_of(folder.run)]} over bicubic, dB")
    caption = f"A dot is an image, the upright line the mean; dashed: bicubic.{_cut(len(known))}"
    models = pluralized(len(known[:MOST_ROWS]), "model")
    text = f"Gain over bicubic on every image for {models}; the table of images has the figures."
    return Drawn("image-spread", "Gain, image by image", caption, text, figure, _targets(row for row, _ in known))


def rank_ranges(rows: Sequence[Row]) -> Drawn | None:
    """Draw each row's rank and the ranks that the measurements leave possible; None if the run has no ranges."""
    known = [(row, row.entry.rank, row.entry.rank_range) for row in rows if row.entry.rank and row.entry.rank_range]
    cut = _cut(len(known))
    known = known[:MOST_ROWS]
    if len(known) < 2:
        return None
    figure, axes = _lines([row for row, *_ in known])
    for place, (row, rank, (low, high)) in enumerate(known):
        axes.plot([low, high], [place, place], color=PAPER["mark"], lw=3.2, alpha=0.4, solid_capstyle="round")
        axes.plot([rank], [place], "o", ms=5.6, color=PAPER["mark"], gid=_gid(row))
    axes.set_xlim(0.5, max(high for *_, (_, high) in known) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rank")
    caption = "The dot is the rank, the bar the ranks that images and timing leave possible (95 %): tied rows overlap."
    caption += cut
    text = f"Ranks of {pluralized(len(known), 'model')}, and the ranks that the measurements leave possible."
    return Drawn("rank-ranges", "How firm the ranks are", caption, text, figure, _targets(row for row, *_ in known))


def reparameterized(rows: Sequence[Row]) -> Drawn | None:
    """Draw the parameters of the submitted and of the timed form."""
    pairs = [
        (row, row.entry.reparam.params_before / 1e3, row.entry.reparam.params_after / 1e3)
        for row in rows
        # Both counts are known and differ.
        if row.entry.reparam and 0 < row.entry.reparam.params_after != row.entry.reparam.params_before > 0
    ]
    cut = _cut(len(pairs))
    pairs = pairs[:MOST_ROWS]
    if not pairs:
        return None
    figure, axes = _lines([row for row, *_ in pairs])
    for place, (row, before, after) in enumerate(pairs):
        axes.plot([before, after], [place, place], color=PAPER["curve"], lw=2.4, zorder=2)
        axes.plot([before], [place], "o", ms=6, mfc=PAPER["ground"], mec=PAPER["base"], zorder=3)
        axes.plot([after], [place], "o", ms=6, color=PAPER["mark"], gid=_gid(row), zorder=3)
    sizes = [size for _, *both in pairs for size in both]
    log_axis(axes, "x", min(sizes) / 1.4, max(sizes) * 1.4)
    axes.set_xlabel("parameters, K")
    caption = f"Hollow: as submitted; filled: as timed.{cut}"
    text = f"Parameters before and after reparameterization of {pluralized(len(pairs), 'model')}."
    return Drawn(
        "reparameterized", "Before and after reparameterization", caption, text, figure, _targets(r for r, *_ in pairs)
    )


def precision_drop(folder: RunFolder, rows: Sequence[Row]) -> Drawn | None:
    """Draw what the timed precision costs in PSNR."""
    drops = [(row, row.entry.precision_drop_db) for row in rows if row.entry.precision_drop_db is not None]
    cut = _cut(len(drops))
    drops = drops[:MOST_ROWS]
    # Not drawn if no network loses anything that could be seen.
    if not any(abs(drop) >= SEEN_DB for _, drop in drops):
        return None
    figure, axes = _lines([row for row, _ in drops])
    for place, (row, drop) in enumerate(drops):
        axes.plot([0.0, drop], [place, place], color=PAPER["mark"], lw=2.4, alpha=0.5)
        axes.plot([drop], [place], "o", ms=5.6, color=PAPER["mark"], gid=_gid(row))
    # Of RGB on every track, see `Entry.precision_drop_db`.
    axes.set_xlabel(f"PSNR RGB of float32 minus PSNR of {folder.run.protocol.precision}, dB")
    text = f"Loss of PSNR to the timed precision for {pluralized(len(drops), 'model')}."
    caption = f"What the precision that was timed costs.{cut}"
    return Drawn("precision-drop", "Loss of precision", caption, text, figure, _targets(row for row, _ in drops))


def _cut(rows: int) -> str:
    """Return what a caption says of rows for which there is no room; nothing if there is."""
    return f" The best {MOST_ROWS} of {rows}." if rows > MOST_ROWS else ""


def _lines(rows: Sequence[Row]) -> tuple[Figure, Axes]:
    """Return axes with a line per row, the first at the top, named on the left."""
    height = LINE * len(rows) + MARGINS
    figure = Figure(figsize=(WIDTH, height))
    names = [short(row.entry.name) for row in rows]
    share = max(NAMES_SHARE, max(map(_width_of_name, names)) / (WIDTH * POINTS))
    axes = figure.add_axes((share, 0.5 / height, 0.97 - share, 1 - 0.6 / height))
    # Descending, so that the first row is at the top.
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), names)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(PAPER["muted"] if row.baseline else PAPER["ink"])
    axes.spines["left"].set_visible(False)
    return figure, axes


def _width_of_name(name: str) -> float:
    """Return an upper estimate of the width of a name and the gap beside it, points."""
    return text_width(name, TEXT) + CAPITAL_EM * TEXT * sum(map(str.isupper, name)) + NAMES_PAD


def _hue(row: Row) -> str:
    return PAPER["base"] if row.baseline else PAPER["mark"]


def _gid(row: Row) -> str:
    return f"mark-{row.anchor}"


def _targets(rows: Iterable[Row]) -> dict[str, str]:
    return {_gid(row): row.anchor for row in rows}
