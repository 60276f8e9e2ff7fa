"""The page of one model: its figures, every timed call and every image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from harness.report.caveats import interval
from harness.report.columns import Column, measures, runtime_of
from harness.report.images import ImageRow, image_rows
from harness.report.layers import layer_table
from harness.report.numbers import fixed
from harness.report.roofline_plot import BOUNDS, RooflinePlot, roofline_plot, roofline_rows
from harness.report.rows import Row
from harness.report.site import page
from harness.report.timing_plot import TimingPlot, timing_plot
from harness.results.columns import LOWER_BOUND
from harness.results.measurement import TimingRecord
from harness.results.record import Statistic
from harness.results.rounds import kept_turns
from harness.results.run_folder import RunFolder, is_file_name
from harness.results.schema import Entry, Reparam

SCRIPTS = ("theme.js",)

VOUCHERS = {
    "process": "the submission's own process",
    "graph": "a process without its code, from the graph that it exported",
    "harness": "the harness: no submitted code was executed",
}
"""Who found out parameters and operations, by ``Entry.counted_by``."""


@dataclass(frozen=True, slots=True)
class Roof:
    """The roofline of a network: the binding resource in words, the rows of the table and the figure."""

    bound: str
    rows: list[tuple[str, str, str, str]]
    plot: RooflinePlot | None


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What the pages of all models of a run share: its columns, and the links to its crops by image and row."""

    folder: RunFolder
    columns: Sequence[Column]
    crops: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class AnchorCorrection:
    """The time of the calls as they were measured and as the anchor network corrects it, milliseconds."""

    raw: float
    corrected: float

    @property
    def factor(self) -> float:
        """The corrected time divided by the measured one."""
        return self.corrected / self.raw


def anchor_correction(
    timing: TimingRecord | None, level: float | None, statistic: Statistic
) -> AnchorCorrection | None:
    """Return what the anchor network corrects; None if the network was timed alone.

    Parameters
    ----------
    timing
        The calls. Those of rounds that were left out do not count.
    level
        The time that the row's score uses, ms.
    statistic
        Which statistic of the calls that is.
    """
    if timing is None or not timing.rounds or level is None:
        return None
    # From one flag per turn to one per call.
    counts = np.repeat(kept_turns(timing), [turn.calls for turn in timing.rounds])
    calls = np.array([ms for _, ms in timing.samples])[: counts.size][counts]
    raw = float(np.median(calls) if statistic == "median" else np.mean(calls)) if calls.size else 0.0
    return AnchorCorrection(raw, level) if raw > 0 else None


def page_path(entry: Entry) -> str:
    """Return the path of a row's page relative to the run's folder; empty if its slug is not a valid file name."""
    return f"models/{entry.slug}.html" if is_file_name(entry.slug) else ""


def model_page(context: ModelContext, rows: Sequence[Row], position: int) -> str:
    """Return the page of one of `rows`, with links to its neighbours."""
    folder, columns, row = context.folder, context.columns, rows[position]
    # The rows above and below in the table, for links; None at its ends.
    neighbours = [rows[place] if 0 <= place < len(rows) else None for place in (position - 1, position + 1)]
    stated = row.entry.runtime_ms is not None and not row.entry.runtime_ms.is_measured
    # The calls of the run say nothing about a time that the authors state.
    images, timing = image_rows(folder, row.entry.slug), None if stated else folder.timing(row.entry.slug)
    return page(
        "model.html",
        SCRIPTS,
        run=folder.run,
        row=row,
        tied=[other.entry.name for other in rows if other.entry.slug and other.entry.slug in row.entry.tied_with],
        columns=columns,
        intervals=_intervals(columns, row.entry),
        measures=measures(),
        neighbours=[(near, quote(f"{near.entry.slug}.html")) if near and near.page else None for near in neighbours],
        plot=_plot(folder, row.entry, timing),
        correction=anchor_correction(timing, runtime_of(row.entry, folder.run.protocol), folder.run.protocol.statistic),
        crops={image: links[row.anchor] for image, links in context.crops.items() if row.anchor in links},
        clock=(timing and timing.clock) or folder.run.protocol.clock,
        images=images,
        widest=max((abs(image.gain) for image in images if image.gain is not None), default=0.0),
        extremes=_extremes(images),
        roof=_roofline(row.entry),
        reparam=reparam_rows(row.entry.reparam, lower_bound=bool(row.entry.incomplete_ops)),
        forms=form_rows(row.entry.reparam),
        layers=layer_table(folder.layers(row.entry.slug)),
        claims=claims(columns, row.entry),
        voucher=VOUCHERS.get(row.entry.counted_by),
    )


def _intervals(columns: Sequence[Column], entry: Entry) -> dict[str, str]:
    """Return the 95 % intervals of a row's figures as shown, by the keys of their columns; empty for those without."""
    shown = {}
    for column in columns:
        ends = interval(column, entry)
        text = "" if ends is None else " to ".join(fixed(end, column.digits) for end in ends)
        shown[column.key] = text and f"95 %: {text}"
    return shown


def _plot(folder: RunFolder, entry: Entry, timing: TimingRecord | None) -> TimingPlot | None:
    level = runtime_of(entry, folder.run.protocol)
    if timing is None or entry.runtime_ms is None or level is None:
        return None
    correction = anchor_correction(timing, level, folder.run.protocol.statistic)
    return timing_plot(timing, level, entry.runtime_ms.ci, None if correction is None else correction.raw)


def _roofline(entry: Entry) -> Roof | None:
    if entry.roofline is None:
        return None
    rows = roofline_rows(entry.roofline, entry.macs, lower_bound=bool(entry.incomplete_ops))
    return Roof(BOUNDS[entry.roofline.bound], rows, roofline_plot(entry.roofline))


def _extremes(images: Sequence[ImageRow]) -> tuple[ImageRow, ImageRow] | None:
    """Return the images where a model gains least and most."""
    known = [(image.gain, image) for image in images if image.gain is not None]
    if len(known) < 2:
        return None
    known.sort(key=lambda pair: pair[0])
    return known[0][1], known[-1][1]


def reparam_rows(reparam: Reparam | None, *, lower_bound: bool = False) -> list[tuple[str, str, str, str]]:
    """Return (quantity, before, after, ratio) of a reparameterized network; empty if nothing was reparameterized.

    The ratio of two lower bounds is unknown.
    """
    if reparam is None or reparam.method == "none":
        return []
    pairs = [("Parameters, K", reparam.params_before, reparam.params_after, 1e3)]
    # Unknown in runs that did not count both forms.
    if reparam.macs_before and reparam.macs_after:
        pairs.append(("MACs, G", reparam.macs_before, reparam.macs_after, 1e9))
    rows = [
        (name, fixed(before / unit, 2), fixed(after / unit, 2), f"{fixed(100 * after / before, 1)} %" if before else "")
        for name, before, after, unit in pairs
    ]
    if lower_bound and len(rows) == 2:
        # The second row is that of the multiply-accumulates.
        name, before, after, _ = rows[1]
        rows[1] = (name, f"{LOWER_BOUND} {before}", f"{LOWER_BOUND} {after}", "")
    return rows


def form_rows(reparam: Reparam | None) -> list[tuple[str, bool, tuple[str, str, str]]]:
    """Return each form of a network that has several: its name, whether it was measured, and its figures as shown."""
    if reparam is None or len(reparam.forms) < 2:
        return []
    names = {"loaded": "as loaded", "author": "author's", "automatic": "collapsed"}
    return [
        (
            names[form.name] if form.method in ("none", "automatic") else f"{names[form.name]} ({form.method})",
            form.name == reparam.form,
            (
                fixed(form.params / 1e3, 2),
                "" if form.macs is None else fixed(form.macs / 1e9, 2),
                "" if form.runtime_ms is None else fixed(form.runtime_ms, 2),
            ),
        )
        for form in reparam.forms
    ]


def claims(columns: Sequence[Column], entry: Entry) -> list[tuple[str, str, str, str]]:
    """Return (quantity, published, measured here, difference in per cent or dB) for every published figure."""
    found = []
    for column in columns:
        theirs = column.published_text(entry)
        if theirs:
            name = f"{column.title}, {column.unit}" if column.unit else column.title
            bound = f"{LOWER_BOUND} " if column.lower_bound(entry) else ""
            found.append((name, theirs, f"{bound}{column.text(entry)}", column.difference_text(entry)))
    return found
