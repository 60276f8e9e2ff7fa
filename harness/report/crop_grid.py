"""A grid of crops for a paper: HR, bicubic and models, with PSNR and SSIM under each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from harness.errors import UsageError
from harness.report.caveats import Mark, name_marks
from harness.report.crop_layout import CAPTION, GAP, Layout, layout_of
from harness.report.crop_pictures import CropPictures, Overview, Pixels
from harness.report.drawing import STYLE, short
from harness.report.figure_foot import foot_lines, write_foot
from harness.report.images import bicubic_slug, names_of
from harness.report.labels import text_width
from harness.report.palette import PAPER
from harness.report.scatter import SMALL_TEXT, NotebookFigure, PaperFigure, chosen_rows, scored_entries
from harness.results.crops import Choice
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry

Channel = Literal["rgb", "y"]
Measure = Callable[[Pixels, Pixels], tuple[float, float]]
"""PSNR in dB and SSIM of an output and its ground truth."""

MOST_MODELS = 6
"""Models that are shown if none is named."""
_POINTS = 72.0  # of an inch
# Resolution of print, to which the whole image is reduced.
_DPI = 300
# Widths of a digit and of a point in DejaVu Sans, matplotlib's default font.
_DIGIT_EM, _POINT_EM = 0.636, 0.318


@dataclass(frozen=True, slots=True)
class GridStyle:
    """How a grid of crops looks.

    Attributes
    ----------
    width
        Inches.
    channel
        Whether PSNR and SSIM are those of RGB or of Y; None for what the track scores.
    highlight
        Names or slugs of rows whose crops get a frame.
    measure
        Computes PSNR and SSIM of a crop; None shows those of the whole image, as the run stores them.
    """

    width: float = 7.0
    channel: Channel | None = None
    highlight: Sequence[str] = ()
    measure: Measure | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture with what stands below it; ``best`` says which of PSNR and SSIM is bold."""

    pixels: Pixels
    title: str
    psnr: float | None = None
    ssim: float | None = None
    is_truth: bool = False
    ranked: bool = False
    highlighted: bool = False
    best: tuple[bool, bool] = (False, False)


def crop_grid(folder: RunFolder, crops: Sequence[Choice], models: Sequence[str], style: GridStyle) -> PaperFigure:
    """Draw crops of the images that a run kept, one block for each.

    Parameters
    ----------
    folder
        A run.
    crops
        What is shown.
    models
        Names or slugs, in the order wanted; empty for the best submissions.
    style
        Size, figures, highlighted models.

    Raises
    ------
    UsageError
        There is no such image or model, or the run did not keep what is needed.
    """
    pictures = [CropPictures(folder, crop) for crop in crops]
    # Named models are shown in the order given, also if they are not among the best.
    entries = scored_entries(folder, models) if models else _best(folder, pictures)
    pointed = {entry.slug for entry in scored_entries(folder, style.highlight)}
    absent = [slug for slug in pointed if slug not in {entry.slug for entry in entries}]
    if absent:
        raise UsageError(f"the highlighted {absent[0]!r} is not shown", hint="name it among --models, too")
    blocks = [(one, _bold(_cells(folder, one, entries, pointed, style))) for one in pictures]
    return _drawn(folder, blocks, entries, style)


def _best(folder: RunFolder, pictures: Sequence[CropPictures]) -> list[Entry]:
    """Return the best submissions whose outputs were kept."""
    # A row that was measured before a crop was asked for has no picture of it.
    rows = chosen_rows(folder, (), baselines=False)
    kept = [row.entry for row in rows if all(one.has(row.entry) for one in pictures)]
    if not kept:
        raise UsageError("the run kept no submission's output there", hint=pictures[0].again)
    return kept[:MOST_MODELS]


def _cells(
    folder: RunFolder, pictures: CropPictures, entries: Sequence[Entry], pointed: set[str], style: GridStyle
) -> list[Cell]:
    truth, channel = pictures.truth, _channel(folder, style)
    # The ground truth comes first. It has no figures, and its cell names those of the others.
    cells = [Cell(truth, "HR", is_truth=True)]
    if pictures.reference is not None:
        figures = _figures(folder, pictures, bicubic_slug(folder) or "", pictures.reference, channel, style.measure)
        cells.append(Cell(pictures.reference, "Bicubic", *figures))
    for entry in entries:
        pixels = pictures.of_model(entry)
        figures = _figures(folder, pictures, entry.slug, pixels, channel, style.measure)
        title = short(entry.name) + "".join(mark.sign for mark in name_marks(entry))
        cells.append(Cell(pixels, title, *figures, False, entry.kind == "submission", entry.slug in pointed))
    return cells


def _channel(folder: RunFolder, style: GridStyle) -> Channel:
    return style.channel or ("y" if folder.run.track.metric == "psnr_y" else "rgb")


def _figures(
    folder: RunFolder, pictures: CropPictures, slug: str, pixels: Pixels, channel: Channel, measure: Measure | None
) -> tuple[float | None, float | None]:
    """Return PSNR and SSIM of a crop, or of its image as the run stores them."""
    if measure is not None:
        return measure(pixels, pictures.truth)
    images = folder.per_image.get(slug, {})
    found = next((images[name] for name in names_of(folder, pictures.image) if name in images), {})
    return found.get(f"psnr_{channel}"), found.get(f"ssim_{channel}")


def _bold(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with the best of several submissions marked; figures that print alike are equal."""
    # A single submission is the best of nothing.
    if sum(cell.ranked for cell in cells) < 2:
        return list(cells)
    psnr = max((round(cell.psnr, 2) for cell in cells if cell.ranked and cell.psnr is not None), default=None)
    ssim = max((round(cell.ssim, 4) for cell in cells if cell.ranked and cell.ssim is not None), default=None)
    return [_marked(cell, psnr, ssim) if cell.ranked else cell for cell in cells]


def _marked(cell: Cell, psnr: float | None, ssim: float | None) -> Cell:
    best = (
        cell.psnr is not None and round(cell.psnr, 2) == psnr,
        cell.ssim is not None and round(cell.ssim, 4) == ssim,
    )
    return Cell(cell.pixels, cell.title, cell.psnr, cell.ssim, cell.is_truth, cell.ranked, cell.highlighted, best)


def _drawn(
    folder: RunFolder, blocks: Sequence[tuple[CropPictures, list[Cell]]], entries: Sequence[Entry], style: GridStyle
) -> PaperFigure:
    width = style.width * _POINTS
    # A dictionary keeps the order of first use and drops repetitions.
    marks = dict.fromkeys(mark for entry in entries for mark in name_marks(entry))
    legend = _legend(folder, style, sum(entry.kind == "submission" for entry in entries))
    # The height of the figure follows from its content: blocks, gaps between them, and the foot.
    lines = foot_lines([legend, *_meanings(marks)], width, SMALL_TEXT)
    layouts = [_layout(pictures, cells, width) for pictures, cells in blocks]
    height = sum(layout.total for layout in layouts) + (len(layouts) - 1) * GAP + write_foot(None, lines, SMALL_TEXT)
    with mpl.rc_context(STYLE | {"font.size": SMALL_TEXT}):
        figure = NotebookFigure(figsize=(style.width, height / _POINTS))
        write_foot(figure, lines, SMALL_TEXT)
        canvas, top = _Canvas(figure, width, height), height
        for (pictures, cells), layout in zip(blocks, layouts, strict=True):
            _draw_block(canvas, pictures, cells, layout, top)
            top -= layout.total + GAP
    return PaperFigure(figure, _remarks(blocks, layouts))


def _layout(pictures: CropPictures, cells: Sequence[Cell], width: float) -> Layout:
    rows, columns = pictures.truth.shape[:2]
    whole = pictures.overview
    aspect = None if whole is None else whole.pixels.shape[1] / whole.pixels.shape[0]
    return layout_of(len(cells), width, columns / rows, aspect)


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A figure whose places are given in points from its lower left corner."""

    figure: Figure
    width: float
    height: float

    def image(self, pixels: Pixels, x: float, y: float, width: float, height: float) -> Axes:
        """Draw an image without smoothing; return its axes."""
        # matplotlib places axes in shares of the figure.
        box = (x / self.width, y / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box, aspect="auto", xticks=[], yticks=[], frame_on=True)
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_on()
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def text(self, text: str, x: float, y: float, align: str = "center", *, bold: bool = False, hue: str = "") -> None:
        """Write a line; ``y`` is its baseline."""
        weight = "bold" if bold else "normal"
        self.figure.text(x / self.width, y / self.height, text, ha=align, va="baseline", weight=weight,
                         color=hue or PAPER["ink"])  # fmt: skip


def _draw_block(canvas: _Canvas, pictures: CropPictures, cells: Sequence[Cell], layout: Layout, top: float) -> None:
    left = 0.0
    if layout.overview and pictures.overview is not None:
        _draw_overview(canvas, pictures, pictures.overview, layout, top)
        left = layout.overview + GAP
    for at, cell in enumerate(cells):
        line, column = divmod(at, layout.columns)
        x = left + column * (layout.width + GAP)
        _draw_cell(canvas, cell, layout, x, top - line * (layout.height + CAPTION) - layout.height)


def _draw_overview(canvas: _Canvas, pictures: CropPictures, whole: Overview, layout: Layout, top: float) -> None:
    # As high as all lines beside it, without the caption of the last one.
    height = layout.total - CAPTION
    size = (round(layout.overview / _POINTS * _DPI), round(height / _POINTS * _DPI))
    # Reduced to the resolution of print, since a file of the figure contains all pixels.
    picture = Image.fromarray(whole.pixels)
    picture.thumbnail(size, Image.Resampling.LANCZOS)
    axes = canvas.image(np.asarray(picture), 0, top - height, layout.overview, height)
    for hue, line in (("white", 2.0), (PAPER["band0"], 1.0)):  # the light border shows on dark images
        # The overview counts from the top, matplotlib from the bottom.
        place = (whole.left, 1 - whole.top - whole.height, whole.width, whole.height)
        axes.add_patch(_frame(axes, place, hue, line))
    shown = _cut(pictures.image, layout.overview)
    canvas.text(shown, layout.overview / 2, top - height - 1.05 * SMALL_TEXT)


def _frame(axes: Axes, place: tuple[float, float, float, float], hue: str, line: float) -> Rectangle:
    """Return a frame at a place in axes, given as shares: left and lower edge, width, height."""
    left, bottom, width, height = place
    return Rectangle((left, bottom), width, height, transform=axes.transAxes, fill=False, edgecolor=hue, linewidth=line)


def _draw_cell(canvas: _Canvas, cell: Cell, layout: Layout, x: float, y: float) -> None:
    axes = canvas.image(cell.pixels, x, y, layout.width, layout.height)
    hue = PAPER["band0"] if cell.highlighted else PAPER["ink"]
    if cell.highlighted:
        axes.add_patch(_frame(axes, (0, 0, 1, 1), hue, 2.8))  # the outer half is cut off
    middle = x + layout.width / 2
    # Baselines of the two lines below a picture.
    first, second = y - 1.05 * SMALL_TEXT, y - 2.2 * SMALL_TEXT
    canvas.text(_cut(cell.title, layout.width), middle, first, bold=cell.highlighted, hue=hue)
    if cell.is_truth:
        canvas.text("PSNR / SSIM", middle, second, hue=PAPER["muted"])
        return
    psnr, ssim = _shown(cell.psnr, 2), _shown(cell.ssim, 4)
    # The slash is not in the middle where the two figures differ in width, so that both together are centred.
    slash = middle + (_numeral_width(psnr) - _numeral_width(ssim)) / 2
    canvas.text(psnr, slash - 0.45 * SMALL_TEXT, second, "right", bold=cell.best[0])
    canvas.text("/", slash, second)
    canvas.text(ssim, slash + 0.45 * SMALL_TEXT, second, "left", bold=cell.best[1])


def _shown(value: float | None, digits: int) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.{digits}f}" if isfinite(value) else "\N{INFINITY}"


def _numeral_width(text: str) -> float:
    return SMALL_TEXT * sum(_DIGIT_EM if letter.isdigit() else _POINT_EM for letter in text)


def _cut(text: str, width: float) -> str:
    """Shorten a name to a width in points."""
    while len(text) > 2 and text_width(text, SMALL_TEXT) > width + GAP:
        # The last character is the ellipsis of the step before.
        text = text[:-2] + "…"
    return text


def _legend(folder: RunFolder, style: GridStyle, submissions: int) -> str:
    channel = {"rgb": "RGB", "y": "Y"}[_channel(folder, style)]
    what = "the whole image" if style.measure is None else "the crop alone"
    best = "; best submission bold" if submissions > 1 else ""
    return f"PSNR in dB and SSIM on {channel}, of {what}{best}"


def _meanings(marks: dict[Mark, None]) -> list[str]:
    return [f"{mark.sign} {mark.meaning}" for mark in marks]


def _remarks(blocks: Sequence[tuple[CropPictures, list[Cell]]], layouts: Sequence[Layout]) -> list[str]:
    remarks = []
    for (pictures, cells), layout in zip(blocks, layouts, strict=True):
        if pictures.overview is None:
            remarks.append(f"{pictures.image}: the run kept no picture of the whole image")
        elif not layout.overview:
            remarks.append(f"{pictures.image}: no room for the whole image; give more --width")
        if any(cell.psnr is None and not cell.is_truth for cell in cells):
            remarks.append(f"{pictures.image}: figures are missing; --quality crop computes those of the crop")
    return list(dict.fromkeys(remarks))
