"""Compare two models of one run or of two: the differences in quality, time and score, with intervals and p-values.

Nothing is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.conditions import Figures, condition_changes, incomparable
from harness.analysis.stored_rows import dataset_labels, stored_figures, stored_rules, stored_timing
from harness.results.columns import MEASURES
from harness.results.measurement import TimingRecord
from harness.results.run_folder import RunFolder, find_entry
from harness.results.schema import Entry, PairComparison
from harness.statistics.compare_times import compare_times
from harness.statistics.inference import Difference, interval_difference, mean_difference, ratio_difference
from harness.statistics.process_spread import spread_of
from harness.statistics.runtime_summary import relative_times
from harness.statistics.score_difference import resample_scores, score_differences
from harness.text import pluralized
from harness.tracks import Track, track_of
from harness.tracks.dataset_means import balanced
from harness.tracks.scoring import RowFigures, ScoringRules, rank_rows, reference_psnr, score_data

_UNITS = {"psnr_rgb": "dB", "psnr_y": "dB", "ssim_rgb": "", "ssim_y": ""}
# Stands for an interval that the run stores as unknown.
_UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class FigureComparison:
    """One figure of two models.

    Attributes
    ----------
    figure
        ``psnr_rgb``, ``psnr_y``, ``ssim_rgb``, ``ssim_y``, ``runtime`` or ``score``; ``score_log10`` in place of the
        score where it may exceed float64. The interval of that difference is not computed.
    unit
        Of all values: ``dB``, ``ms``, or empty.
    first, second
        The figure of either model.
    difference
        The first minus the second; for the runtime, in per cent of the second. The p-value is that of the pair alone.
    basis
        The data that the interval is computed from.
    pairs
        Number of pairs that are tested together.
    corrected_p_value
        The p-value corrected for `pairs`. The models differ significantly if it is below 0.05.
    """

    figure: str
    unit: str
    first: float
    second: float
    difference: Difference
    basis: str
    pairs: int
    corrected_p_value: float


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """All figures of two models that can be compared, and remarks that name those that cannot, with the reason."""

    names: tuple[str, str]
    rows: list[FigureComparison]
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in a stored run."""

    folder: RunFolder
    entry: Entry


def compare_models(one: RunFolder, first: str, other: RunFolder, second: str) -> ModelComparison:
    """Compare two models.

    Quality is compared image by image. Time is compared round by round if both models were timed in the same rounds,
    else by independently resampled samples. The score of two ranked rows of one run has the p-value of the leaderboard,
    corrected for the number of its pairs; all other p-values are of one pair.

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
    models = StoredModel(one, find_entry(one, first)), StoredModel(other, find_entry(other, second))
    names = models[0].entry.name, models[1].entry.name
    # Two rows of one run share all conditions.
    conditions = [] if one.path == other.path else [c for c in condition_changes(one, other) if c.invalidates]
    remarks = [f"{c.what}: {c.before} -> {c.after} ({c.verdict})" for c in conditions]
    invalid = incomparable(conditions)
    rows = [] if "quality" in invalid else [row for m in MEASURES if (row := compare_quality(*models, m)) is not None]
    if "times" not in invalid:
        rows += [row for row in [compare_runtime(*models)] if row is not None]
    if "scores" not in invalid:
        rows += [row for row in [compare_score(*models)] if row is not None]
    return ModelComparison(names, rows, [*remarks, *_left_out(models, {row.figure for row in rows}, invalid)])


def _left_out(models: tuple[StoredModel, StoredModel], shown: set[str], invalid: set[Figures]) -> list[str]:
    """Return one line for each reason why figures are not shown that the runs' conditions would allow."""
    reasons: dict[str, list[str]] = {}
    if "quality" not in invalid:
        for measure in MEASURES:
            if measure not in shown:
                reasons.setdefault(_why_no_quality(models, measure), []).append(measure)
    if "times" not in invalid and "runtime" not in shown:
        reasons.setdefault(_why_no_runtime(models), []).append("runtime")
    if "scores" not in invalid and not shown & {"score", "score_log10"}:
        reasons.setdefault(_why_no_score(models), []).append("score")
    return [f"left out: {', '.join(figures)}; {reason}" for reason, figures in reasons.items()]


def _why_not_measured(models: tuple[StoredModel, StoredModel]) -> str:
    """Return that a model was not measured, and why; empty if both were."""
    for model in models:
        if model.entry.error is not None:
            return f"{model.entry.name} is {model.entry.status}: {model.entry.error.message}"
    return ""


def _why_no_quality(models: tuple[StoredModel, StoredModel], measure: str) -> str:
    unknown = [model.entry.name for model in models if getattr(model.entry, measure) is None]
    without = [str(model.folder.path) for model in models if not model.folder.per_image]
    if reason := _why_not_measured(models):
        return reason
    if unknown:
        return f"{unknown[0]} has no such figure"
    return f"{without[0]} has no figures of single images (per_image.csv)" if without else "no image has it in both"


def _why_no_runtime(models: tuple[StoredModel, StoredModel]) -> str:
    untimed = [model.entry.name for model in models if model.entry.runtime_ms is None]
    if untimed:
        return _why_not_measured(models) or f"{untimed[0]} was not timed"
    return "a runtime of fewer than two calls has no interval"


def _why_no_score(models: tuple[StoredModel, StoredModel]) -> str:
    if reason := _why_not_measured(models):
        return reason
    if unscored := [model.entry.name for model in models if model.entry.score is None]:
        return f"{unscored[0]} has no score"
    track = track_of(models[0].folder.run)
    if track is None:
        return f"the track {models[0].folder.run.track.name} is not known here"
    if not track.has_intervals:
        return f"scores of the track {track.name} have no intervals"
    if without := [str(model.folder.path) for model in models if not model.folder.per_image]:
        return f"{without[0]} has no figures of single images (per_image.csv)"
    if without := [model.entry.name for model in models if stored_timing(model.folder, model.entry) is None]:
        return f"there are no timed calls of {without[0]} (samples)"
    return "the formula has no value within the uncertainty of a figure, or no image is in both"


def compare_quality(one: StoredModel, other: StoredModel, measure: str) -> FigureComparison | None:
    """Compare a measure of quality image by image; None if no image has it in both runs.

    In runs with several data sets, these have equal weights, as in the means of the rows.
    """
    tables = [model.folder.per_image.get(model.entry.slug, {}) for model in (one, other)]
    # Paired: only images that both runs measured.
    names = [name for name in tables[0] if measure in tables[0][name] and measure in tables[1].get(name, {})]
    if not names:
        return None
    labels = dataset_labels(one.folder, names)
    first, second = (
        list(balanced({name: table[name][measure] for name in names}, labels).values()) for table in tables
    )
    means = float(np.mean(first)), float(np.mean(second))
    basis = f"{pluralized(len(names), 'image')}, paired"
    return _single(measure, _UNITS[measure], means, mean_difference(first, second), basis)


def compare_runtime(one: StoredModel, other: StoredModel) -> FigureComparison | None:
    """Compare two runtimes by their samples, or by their intervals if those were not kept.

    None if a model was not timed, or if neither samples nor an interval are known.
    """
    entries = one.entry, other.entry
    if entries[0].runtime_ms is None or entries[1].runtime_ms is None:
        return None
    statistic = one.folder.run.protocol.statistic
    first, second = (float(getattr(entry.runtime_ms, statistic)) for entry in entries)
    records = stored_timing(one.folder, one.entry), stored_timing(other.folder, other.entry)
    if records[0] is not None and records[1] is not None:
        difference, basis = _compare_records((one, other), (records[0], records[1]))
        # Unpaired timings are compared by their medians; this is stated where the figures beside it are means.
        basis += ", by their medians" if "not paired" in basis and "calls" in basis and statistic == "mean" else ""
        return _single("runtime", "ms", (first, second), difference, basis)
    intervals = [entry.runtime_ms.ci for entry in entries if entry.runtime_ms is not None]
    if min(entry.runtime_ms.samples for entry in entries if entry.runtime_ms is not None) < 2:
        return None  # a single call has no interval
    difference = interval_difference(first, intervals[0], second, intervals[1])
    return _single("runtime", "ms", (first, second), difference, "95 % intervals, not paired")


def _compare_records(
    models: tuple[StoredModel, StoredModel], records: tuple[TimingRecord, TimingRecord]
) -> tuple[Difference, str]:
    """Return the difference of two timings in per cent of the second, and what it is computed from."""
    if bool(records[0].rounds) != bool(records[1].rounds):  # only one is relative to an anchor: compare milliseconds
        records = _without_rounds(records[0]), _without_rounds(records[1])
    spreads = [spread_of(model.folder.run.process_spread) for model in models]
    # Of one session: both had their turns in the same rounds.
    if records[0].session and records[0].session == records[1].session and records[0].rounds:
        times = compare_times(*records, spreads[0])
        low, high = (100 * (end - 1) for end in times.ci)
        difference = Difference(100 * (times.ratio - 1), (low, high), times.p_value)
        return (
            difference,
            f"{times.rounds} rounds, paired" if times.paired else "not paired: processes without the other",
        )
    one, other = (relative_times(record, spread) for record, spread in zip(records, spreads, strict=True))
    return ratio_difference(one, other), f"{len(records[0].samples)} and {len(records[1].samples)} calls, not paired"


def _without_rounds(record: TimingRecord) -> TimingRecord:
    return record.model_copy(update={"rounds": []})


def compare_score(one: StoredModel, other: StoredModel) -> FigureComparison | None:
    """Compare two scores by images and times together; None if a score or the data behind it are not known."""
    scores = one.entry.score, other.entry.score
    track = track_of(one.folder.run)
    if track is None or scores[0] is None or scores[1] is None:
        return None
    if one.folder.path == other.folder.path and one.entry.rank is not None and other.entry.rank is not None:
        # The stored answer of the leaderboard, so that this command cannot contradict its ties.
        pairs = _pairs_of_run(one.folder, track)
        for pair in pairs:
            # A pair is stored in one order only.
            if set(pair.slugs) == {one.entry.slug, other.entry.slug} and len(set(pair.slugs)) == 2:
                return _score_of_pair(pair, len(pairs), (one.entry, other.entry))
    return _score_of_two((one, other), track)


def _pairs_of_run(folder: RunFolder, track: Track) -> list[PairComparison]:
    """Return the comparison of all ranked rows: as stored, else computed from the samples."""
    if folder.run.comparisons:
        return folder.run.comparisons
    return rank_rows(folder.run.entries, _figures(folder, track), stored_rules(folder, track)).comparisons


def _score_of_pair(pair: PairComparison, pairs: int, entries: tuple[Entry, Entry]) -> FigureComparison:
    sign = 1.0 if pair.slugs[0] == entries[0].slug else -1.0
    # A change of sign exchanges the ends.
    low, high = sorted(sign * end for end in pair.ci or _UNBOUNDED)
    difference = Difference(sign * pair.difference, (low, high), pair.p_value)
    basis = f"images and times; p corrected for {pairs} pair{'' if pairs == 1 else 's'} of the run"
    return _of_scores(entries, difference, basis, pairs, pair.corrected_p_value)


def _score_of_two(models: tuple[StoredModel, StoredModel], track: Track) -> FigureComparison | None:
    """Compare the scores of a single pair."""
    rules = [stored_rules(model.folder, track) for model in models]
    figures = [_figures(model.folder, track, model.entry)[model.entry.slug] for model in models]
    images = [name for name in figures[0].psnr if name in figures[1].psnr]
    if not images or not track.has_intervals or any(one.times is None for one in figures):
        return None
    data = [
        score_data(model.entry, figure, images, rule)
        for model, figure, rule in zip(models, figures, rules, strict=True)
    ]
    function = rules[0].score_function([model.entry for model in models])
    resamples = resample_scores(data, function, _reference(images, rules), logarithms=track.logarithmic)
    if not resamples.finite.all():  # the formula is undefined within the uncertainty of a figure
        return None
    (pair,) = score_differences(resamples)
    entries = models[0].entry, models[1].entry
    # Scores as stored: recomputed from logarithms, they could differ in the last digit.
    difference = replace(pair.difference, value=float(entries[0].score or 0.0) - float(entries[1].score or 0.0))
    return _of_scores(entries, difference, "images and times", 1, difference.p_value)


def _of_scores(
    entries: tuple[Entry, Entry], difference: Difference, basis: str, pairs: int, corrected_p_value: float
) -> FigureComparison:
    """Return the comparison of two scores; of their logarithms where scores may exceed float64."""
    first, second = (float(entry.ordered_score or 0.0) for entry in entries)
    if all(entry.score_log10 is not None for entry in entries):
        # Of the scores as numbers, the difference may be 0 and its interval infinite.
        difference = replace(difference, value=first - second, ci=_UNBOUNDED)
        return FigureComparison("score_log10", "", first, second, difference, basis, pairs, corrected_p_value)
    return FigureComparison("score", "", first, second, difference, basis, pairs, corrected_p_value)


def _reference(images: list[str], rules: list[ScoringRules]) -> list[float] | None:
    # Gains over two different references could not be subtracted.
    return reference_psnr(images, rules[0]) if rules[0].reference == rules[1].reference else None


def _figures(folder: RunFolder, track: Track, only: Entry | None = None) -> Mapping[str, RowFigures]:
    """Return the measurements behind the rows, with the times of all rows or of one."""
    entries = folder.run.entries if only is None else [only]
    timings = {entry.slug: stored_timing(folder, entry) for entry in entries}
    return stored_figures(folder, track, {slug: record for slug, record in timings.items() if record is not None})


def _single(
    figure: str, unit: str, values: tuple[float, float], difference: Difference, basis: str
) -> FigureComparison:
    """Return the comparison of one pair, whose p-value needs no correction."""
    return FigureComparison(figure, unit, *values, difference, basis, 1, difference.p_value)
