"""Two models against each other: by how much they differ in quality, time and score, and whether that is noise.

They may be of one run or of two; nothing is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import ResultsError, UsageError
from harness.report.comparison import differences
from harness.report.rules import metric_of
from harness.results.columns import MEASURES
from harness.results.measurement import TimingRecord
from harness.results.run_folder import RunFolder
from harness.results.samples import read_timing
from harness.results.schema import Entry
from harness.statistics.compare_times import compare_times
from harness.statistics.inference import Difference, mean_difference, ratio_difference
from harness.statistics.process_spread import RelativeTimes, spread_of
from harness.statistics.runtime_summary import relative_times
from harness.tracks import track_of
from harness.tracks.score_inference import Evidence, score_difference

_UNITS = {"psnr_rgb": "dB", "psnr_y": "dB", "ssim_rgb": "", "ssim_y": ""}


@dataclass(frozen=True, slots=True)
class FigureComparison:
    """One figure of two models.

    Attributes
    ----------
    figure
        ``psnr_rgb``, ``psnr_y``, ``ssim_rgb``, ``ssim_y``, ``runtime`` or ``score``.
    unit
        Of all values: ``dB``, ``ms``, or empty.
    first, second
        The figure of either.
    difference
        The first less the second; of the runtime, per cent of the second's.
    basis
        What the interval rests on.
    """

    figure: str
    unit: str
    first: float
    second: float
    difference: Difference
    basis: str


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """All that can be compared of two models, and what a reader must know of the rest."""

    names: tuple[str, str]
    rows: list[FigureComparison]
    remarks: list[str]


def contrast(one: RunFolder, first: str, other: RunFolder, second: str) -> ModelComparison:
    """Compare two models.

    Quality is compared image by image, time round by round where both took turns in the same rounds, else by samples
    resampled apart. P-values are of each figure on its own, not corrected for the number of figures or models.

    Parameters
    ----------
    one, other
        Their runs, which may be the same.
    first, second
        Their names or slugs.

    Raises
    ------
    UsageError
        A run has no such model.
    ResultsError
        The samples of a run are damaged.
    """
    entries = _entry(one, first), _entry(other, second)
    conditions = [] if one.path == other.path else [d for d in differences(one, other) if d.spoils]
    remarks = [f"{d.what}: {d.before} -> {d.after} ({d.verdict})" for d in conditions]
    spoilt = " ".join(d.spoils for d in conditions)
    if "everything" in spoilt:
        return ModelComparison((entries[0].name, entries[1].name), [], remarks)
    rows: list[FigureComparison] = []
    if "quality" not in spoilt:
        rows += _qualities(one, entries[0], other, entries[1])
    records = _timing(one, entries[0]), _timing(other, entries[1])
    if "times" not in spoilt and records[0] is not None and records[1] is not None:
        rows.append(_runtime((one, other), entries, (records[0], records[1])))
        if "scores" not in spoilt:
            rows += _score((one, other), entries, (records[0], records[1]))
    return ModelComparison((entries[0].name, entries[1].name), rows, remarks)


def _entry(folder: RunFolder, name: str) -> Entry:
    found = [entry for entry in folder.run.entries if name in (entry.slug, entry.name)]
    found = found or [entry for entry in folder.run.entries if name.lower() in (entry.slug.lower(), entry.name.lower())]
    if not found:
        known = ", ".join(entry.slug or entry.name for entry in folder.run.entries)
        raise UsageError(f"{folder.path} has no model {name!r}", hint=f"choose one of {known}")
    return found[0]


def _timing(folder: RunFolder, entry: Entry) -> TimingRecord | None:
    if entry.runtime_ms is None:
        return None
    try:
        return read_timing(folder.path, entry.slug)
    except ResultsError as error:
        if isinstance(error.__cause__, OSError):  # a run of which only the table was kept
            return None
        raise


def _qualities(one: RunFolder, first: Entry, other: RunFolder, second: Entry) -> list[FigureComparison]:
    rows = []
    for measure in MEASURES:
        values = _shared(one, first, other, second, measure)
        if not values[0]:
            continue
        means = float(np.mean(values[0])), float(np.mean(values[1]))
        images = f"{len(values[0])} images, paired"
        rows.append(FigureComparison(measure, _UNITS[measure], *means, mean_difference(*values), images))
    return rows


def _shared(
    one: RunFolder, first: Entry, other: RunFolder, second: Entry, measure: str
) -> tuple[list[float], list[float]]:
    """Return both models' figures of the images that both have."""
    tables = one.per_image.get(first.slug, {}), other.per_image.get(second.slug, {})
    names = [name for name in tables[0] if measure in tables[0][name] and measure in tables[1].get(name, {})]
    return [tables[0][name][measure] for name in names], [tables[1][name][measure] for name in names]


def _runtime(
    runs: tuple[RunFolder, RunFolder], entries: tuple[Entry, Entry], records: tuple[TimingRecord, TimingRecord]
) -> FigureComparison:
    run = runs[0]
    statistic = run.run.protocol.statistic
    assert entries[0].runtime_ms is not None
    assert entries[1].runtime_ms is not None
    first, second = (float(getattr(entry.runtime_ms, statistic)) for entry in entries)
    if bool(records[0].rounds) != bool(records[1].rounds):  # one in anchors: both in milliseconds
        records = _in_milliseconds(records[0]), _in_milliseconds(records[1])
    if records[0].session and records[0].session == records[1].session and records[0].rounds:
        found = compare_times(*records, spread_of(run.run.process_spread))
        low, high = (100 * (end - 1) for end in found.ci)
        difference = Difference(100 * (found.ratio - 1), (low, high), found.p_value, found.rounds)
        basis = f"{found.rounds} rounds, paired" if found.paired else "not paired: one had processes without the other"
        return FigureComparison("runtime", "ms", first, second, difference, basis)
    apart = ratio_difference(*_paces(runs, records))
    calls = f"{len(records[0].samples)} and {len(records[1].samples)} calls, not paired"
    calls += ", by their medians" if statistic == "mean" else ""
    return FigureComparison("runtime", "ms", first, second, apart, calls)


def _in_milliseconds(record: TimingRecord) -> TimingRecord:
    return record.model_copy(update={"rounds": []})


def _paces(
    runs: tuple[RunFolder, RunFolder], records: tuple[TimingRecord, TimingRecord]
) -> tuple[RelativeTimes, RelativeTimes]:
    first, second = (
        relative_times(record, spread_of(run.run.process_spread)) for run, record in zip(runs, records, strict=True)
    )
    return first, second


def _score(
    runs: tuple[RunFolder, RunFolder], entries: tuple[Entry, Entry], records: tuple[TimingRecord, TimingRecord]
) -> list[FigureComparison]:
    track = track_of(runs[0].run)
    scores = entries[0].score, entries[1].score
    values: tuple[Sequence[float], Sequence[float]] = _shared(
        runs[0], entries[0], runs[1], entries[1], metric_of(runs[0].run)
    )
    if track is None or scores[0] is None or scores[1] is None or not values[0]:
        return []
    statistic = runs[0].run.protocol.statistic
    evidence = [
        Evidence(psnr, float(getattr(entry.runtime_ms, statistic)), pace)
        for psnr, entry, pace in zip(values, entries, _paces(runs, records), strict=True)
    ]
    difference = score_difference(evidence[0], evidence[1], track, runs[0].run.track.bicubic_psnr)
    return [FigureComparison("score", "", scores[0], scores[1], difference, "images and times together")]
