"""One model over runs, joined only where conditions were the same, and all models over runs as a grid."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.columns import score_heading, score_text
from harness.report.drawing import STYLE, Drawn
from harness.report.numbers import fixed, time_digits
from harness.report.palette import PAPER
from harness.report.site import page, write_page
from harness.report.svg import on_page
from harness.results.comparison import HISTORY_CONDITIONS, GridCell, HistoryGrid, HistoryPoint, ModelHistory
from harness.results.run_folder import is_file_name
from harness.text import pluralized


def build_history(history: ModelHistory, target: Path) -> Path:
    """Write the page of a model's history to `target`."""
    moments = history.points
    name = moments[-1].entry.name
    figure = on_page(draw_history(moments, name))
    score = score_heading(one.entry for one in moments).capitalize()
    values = {"name": name, "moments": moments, "skipped": history.skipped, "figure": figure, "score": score}
    content = page("history.html", ("theme.js",), **values)
    write_page(target, content)
    return target


def history_name(moments: Sequence[HistoryPoint]) -> str:
    """Return the name of the file of a model's history, so that the page of another model is not overwritten."""
    slug = moments[-1].entry.slug
    return f"history-{slug}.html" if is_file_name(slug) else "history-model.html"


def build_grid(grid: HistoryGrid, target: Path) -> Path:
    """Write the page of all models over runs to `target`."""
    write_page(target, page("history_grid.html", ("theme.js",), grid=grid))
    return target


def grid_text(grid: HistoryGrid) -> str:
    """Return all models over runs as lines for a terminal: scores, with a mark where one changed significantly."""
    # 5: length of the heading.
    width = max([5, *(len(name[:24]) for name, _ in grid.rows)])
    # The end of a run's name usually tells it from the others.
    heads = [f"{run[-12:]:>12}" for run, _ in grid.runs]
    lines = [f"{'model':{width}}  {'  '.join(heads)}".rstrip()]
    for name, cells in grid.rows:
        shown = "".join(letter if letter.isprintable() else " " for letter in name)[:24]
        lines.append(f"{shown:{width}}  {'  '.join(_grid_cell(cell) for cell in cells)}".rstrip())
    lines.append("- significantly worse   + better   | other conditions or no earlier row")
    return "\n".join(lines) + "\n"


def _grid_cell(cell: GridCell | None) -> str:
    if cell is None:
        return " " * 12
    text = score_text(cell.entry, 3) or cell.entry.status
    return f"{text + {'worse': ' -', 'better': ' +', 'elsewhere': ' |', '': '  '}[cell.mark]:>12}"


def history_text(moments: Sequence[HistoryPoint]) -> str:
    """Return a model's history as lines for a terminal; a rule stands where conditions changed."""
    score = score_heading(one.entry for one in moments)
    lines = [f"{'run':24}  {'date':16}  {score:>11}  {'PSNR dB':>9}  {'runtime ms':>12}  status"]
    # Each run with the one before it. The first has none, and the last one of the longer list is left over.
    for earlier, moment in zip([None, *moments], moments, strict=False):
        if earlier is not None and earlier.conditions != moment.conditions:
            lines.append(f"-- {'; '.join(_changes(earlier, moment))}")
        runtime = _show(moment.runtime, time_digits(moment.runtime or 0.0))
        figures = (_show(moment.score, 3), _show(moment.psnr, 3), runtime)
        date = moment.created[:16].replace("T", " ")
        cells = "  ".join(text.rjust(width) for text, width in zip(figures, (11, 9, 12), strict=True))
        lines.append(f"{moment.run[:24]:24}  {date:16}  {cells}  {moment.entry.status}")
    return "\n".join(lines) + "\n"


def draw_history(moments: Sequence[HistoryPoint], name: str) -> Drawn:
    """Draw score, quality and runtime over runs, joined where conditions stayed the same."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.4))
        panels = figure.subplots(3, 1, sharex=True)
        heading = score_heading(one.entry for one in moments)
        _draw_panel(panels[0], heading, moments, [moment.score for moment in moments])
        _draw_panel(panels[1], "PSNR, dB", moments, [moment.psnr for moment in moments])
        _draw_panel(panels[2], "runtime, ms", moments, [moment.runtime for moment in moments])
        for place, moment in enumerate(moments):
            if moment.runtime_ci is not None:
                panels[2].plot([place, place], moment.runtime_ci, color=PAPER["muted"], lw=0.9)
        panels[2].set_xticks(range(len(moments)), [moment.created[:10] for moment in moments], rotation=45, ha="right")
        figure.subplots_adjust(left=0.12, right=0.98, top=0.98, bottom=0.16)
    text = f"Score, quality and runtime of {name} in {pluralized(len(moments), 'run')}."
    caption = "Joined where the conditions stayed the same: track, data set, device and protocol."
    return Drawn("history", name, caption, text, figure, {})


def _draw_panel(axes: Axes, label: str, moments: Sequence[HistoryPoint], values: Sequence[float | None]) -> None:
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    for (place, value), (later, other) in pairwise(known):
        # A run without the figure interrupts the line.
        if later == place + 1 and moments[place].conditions == moments[later].conditions:
            axes.plot([place, later], [value, other], color=PAPER["mark"], lw=1.0)
    axes.plot([place for place, _ in known], [value for _, value in known], "o", ms=4.6, color=PAPER["mark"])
    axes.set_ylabel(label)


def _changes(earlier: HistoryPoint, later: HistoryPoint) -> list[str]:
    pairs = zip(HISTORY_CONDITIONS, earlier.conditions, later.conditions, strict=True)
    return [f"{name}: {old[:30]} -> {new[:30]}" for name, old, new in pairs if old != new]


def _show(value: float | None, digits: int) -> str:
    return "" if value is None else fixed(value, digits)
