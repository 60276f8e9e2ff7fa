"""One model over runs: its score, quality and runtime, joined only where conditions were the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.errors import ResultsError, UsageError
from harness.report.columns import runtime_of
from harness.report.drawing import STYLE, Drawn
from harness.report.numbers import fixed
from harness.report.palette import PAPER
from harness.report.rules import metric_of, quality
from harness.report.site import page, write_page
from harness.report.svg import on_page
from harness.results.run_folder import RunFolder, load_run
from harness.results.schema import Entry, Interval


@dataclass(frozen=True, slots=True)
class Moment:
    """A model in one run; ``conditions`` names what must be equal for two moments to be compared."""

    run: str
    created: str
    conditions: tuple[str, ...]
    entry: Entry
    score: float | None
    psnr: float | None
    runtime: float | None
    runtime_ci: Interval | None


def model_history(root: Path, model: str) -> list[Moment]:
    """Return a model's rows in all runs of a folder, the earliest first; runs that cannot be read are passed over.

    Parameters
    ----------
    root
        Folder that holds runs.
    model
        The model's name or slug.

    Raises
    ------
    UsageError
        No run holds the model.
    """
    moments = [moment for folder in _runs(root) if (moment := _moment(folder, model)) is not None]
    if not moments:
        raise UsageError(f"no run holds a model {model!r}", where=str(root), hint="give its name as leaderboards do")
    return sorted(moments, key=lambda moment: (moment.created, moment.run))


def build_history(root: Path, model: str, out: Path | None = None) -> Path:
    """Write the page of a model's history; ``history.html`` in the folder of runs where ``out`` is None."""
    moments = model_history(root, model)
    name = moments[-1].entry.name
    target = out or root / "history.html"
    figure = on_page(draw_history(moments, name))
    write_page(target, page("history.html", ("theme.js",), name=name, moments=moments, figure=figure))
    return target


def history_text(moments: Sequence[Moment]) -> str:
    """Return a model's history as lines for a terminal; a rule stands where conditions changed."""
    lines = [f"{'run':24}  {'date':16}  {'score':>9}  {'PSNR dB':>9}  {'runtime ms':>12}  status"]
    for earlier, moment in zip([None, *moments], moments, strict=False):
        if earlier is not None and earlier.conditions != moment.conditions:
            lines.append(f"-- {'; '.join(_changes(earlier, moment))}")
        figures = (_show(moment.score, 3), _show(moment.psnr, 3), _show(moment.runtime, 2))
        date = moment.created[:16].replace("T", " ")
        cells = "  ".join(text.rjust(width) for text, width in zip(figures, (9, 9, 12), strict=True))
        lines.append(f"{moment.run[:24]:24}  {date:16}  {cells}  {moment.entry.status}")
    return "\n".join(lines) + "\n"


def draw_history(moments: Sequence[Moment], name: str) -> Drawn:
    """Draw score, quality and runtime over runs, joined where conditions stayed the same."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.4))
        panels = figure.subplots(3, 1, sharex=True)
        _draw_panel(panels[0], "score", moments, [moment.score for moment in moments])
        _draw_panel(panels[1], "PSNR, dB", moments, [moment.psnr for moment in moments])
        _draw_panel(panels[2], "runtime, ms", moments, [moment.runtime for moment in moments])
        for place, moment in enumerate(moments):
            if moment.runtime_ci is not None:
                panels[2].plot([place, place], moment.runtime_ci, color=PAPER["muted"], lw=0.9)
        panels[2].set_xticks(range(len(moments)), [moment.created[:10] for moment in moments], rotation=45, ha="right")
        figure.subplots_adjust(left=0.12, right=0.98, top=0.98, bottom=0.16)
    text = f"Score, quality and runtime of {name} in {len(moments)} runs."
    return Drawn("history", name, "Joined where device, protocol and data set stayed the same.", text, figure, {})


def _draw_panel(axes: Axes, label: str, moments: Sequence[Moment], values: Sequence[float | None]) -> None:
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    for (place, value), (later, other) in pairwise(known):
        if later == place + 1 and moments[place].conditions == moments[later].conditions:
            axes.plot([place, later], [value, other], color=PAPER["mark"], lw=1.0)
    axes.plot([place for place, _ in known], [value for _, value in known], "o", ms=4.6, color=PAPER["mark"])
    axes.set_ylabel(label)


def _runs(root: Path) -> list[RunFolder]:
    found = []
    for file in sorted(root.glob("*/results.json")):
        try:
            found.append(load_run(file))
        except ResultsError:
            continue
    return found


def _moment(folder: RunFolder, model: str) -> Moment | None:
    run = folder.run
    for entry in run.entries:
        if model in {entry.name, entry.slug}:
            conditions = (
                run.track.name, run.dataset.fingerprint, run.device.name, str(run.device.threads), run.protocol.name,
                run.protocol.precision, run.protocol.backend,
            )  # fmt: skip
            times = entry.runtime_ms.ci if entry.runtime_ms else None
            return Moment(
                folder.path.name, run.run.created, conditions, entry, entry.score, quality(entry, metric_of(run)),
                runtime_of(entry, run.protocol), times,
            )  # fmt: skip
    return None


CONDITIONS = ("track", "data set", "device", "threads", "protocol", "precision", "backend")


def _changes(earlier: Moment, later: Moment) -> list[str]:
    pairs = zip(CONDITIONS, earlier.conditions, later.conditions, strict=True)
    return [f"{name}: {old[:30]} -> {new[:30]}" for name, old, new in pairs if old != new]


def _show(value: float | None, digits: int) -> str:
    return "" if value is None else fixed(value, digits)
