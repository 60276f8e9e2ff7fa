"""Scores, intervals, ranks and ties of rows: the only place where they are made, for new and for stored runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.results.record import Backend, Statistic
from harness.results.schema import Entry, PairComparison, Runtime
from harness.statistics.inference import is_significant
from harness.statistics.process_spread import Floats, RelativeTimes
from harness.statistics.rank_ranges import rank_ranges
from harness.statistics.score_difference import (
    LARGEST_LOG,
    ScoreData,
    ScoreDifference,
    ScoreFunction,
    resample_scores,
    score_differences,
    score_interval,
)
from harness.text import single_line
from harness.tracks.ranking import rank, rank_sum
from harness.tracks.roofline import roofline_at
from harness.tracks.track import Track

NO_SCORE = "no score: "
"""How the note of a row begins whose figures the formula has no value for."""
_COUNTED = ("macs", "activations")
"""Figures that are lower bounds where operators could not be counted."""


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """Everything that a score and a rank depend on besides a row's own measurements.

    Attributes
    ----------
    track
        Its formula computes the score.
    bicubic_psnr
        PSNR of bicubic on the same images, dB: the figure that the track's ``metric`` names. NaN if it is unknown.
    statistic
        The statistic of the runtime that the score uses.
    backend
        The run's backend. Rows of other backends are scored but not ranked.
    reference
        PSNR of each image by the interpolation that the score subtracts, dB. Empty if no row has it.
    bicubic_by_dataset
        PSNR of bicubic on each data set, by its label, dB.
    """

    track: Track
    bicubic_psnr: float
    statistic: Statistic
    backend: Backend = "eager"
    reference: Mapping[str, float] = field(default_factory=dict)
    bicubic_by_dataset: Mapping[str, float] = field(default_factory=dict)

    def score_function(self, entries: Sequence[Entry]) -> ScoreFunction:
        """Return the score of several rows as a function of PSNR and runtime, with the rows along the first axis.

        The other figures of the rows are constants of the function. It returns natural logarithms if the track is
        `logarithmic`. Of a track without intervals, see :attr:`Track.has_intervals`, it is of no use.
        """
        rows = [known_figures(entry, self) for entry in entries]
        # Only PSNR and time are resampled. Columns, so that they combine with rows of resamples.
        constants = {name: np.array([[row[name]] for row in rows]) for name in rows[0] if name in self.track.needs}
        # The network is timed once, so the time of each data set is the same.
        times = [name for name in constants if name.startswith("runtime_ms")]

        def scores(psnr: Floats, runtime_ms: Floats) -> Floats:
            of_psnr = dict.fromkeys(self.track.psnr_names, psnr)
            figures = {**constants, **of_psnr, "runtime_ms": runtime_ms, **dict.fromkeys(times, runtime_ms)}
            return self.track.log_scores(figures) if self.track.logarithmic else self.track.scores(figures)

        return scores


@dataclass(frozen=True, slots=True)
class RowFigures:
    """The measurements that a row's score is computed from.

    Attributes
    ----------
    psnr
        The scored PSNR by image, dB.
    runtime
        Summary of the timing; None if the row was not timed.
    times
        The times behind `runtime`; None if they were not stored.
    is_reference
        Whether the row is the interpolation that the score subtracts. It is scored at exactly that PSNR, regardless of
        the rounding errors of its own.
    """

    psnr: Mapping[str, float]
    runtime: Runtime | None
    times: RelativeTimes | None = None
    is_reference: bool = False


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Rows in order, and the comparison of every pair of ranked rows."""

    entries: list[Entry]
    comparisons: list[PairComparison]


def known_figures(entry: Entry, rules: ScoringRules) -> dict[str, float]:
    """Return the figures of a row that are known, by the names that formulas use."""
    runtime = None if entry.runtime_ms is None else getattr(entry.runtime_ms, rules.statistic)
    figures = {
        "psnr": getattr(entry, rules.track.metric),
        "bicubic": rules.bicubic_psnr,
        "psnr_rgb": entry.psnr_rgb,
        "psnr_y": entry.psnr_y,
        "ssim_rgb": entry.ssim_rgb,
        "ssim_y": entry.ssim_y,
        "runtime_ms": runtime,
        "params": entry.params,
        "macs": entry.macs,
        "activations": entry.activations,
        "memory_bytes": entry.peak_memory_bytes,
        "size_bytes": entry.size_bytes,
    }
    for label, quality in entry.datasets.items():
        figures |= {f"{name}_{label}": value for name, value in dict(quality).items()}
        # The network is timed once, so its runtime is that of every data set.
        figures |= {f"psnr_{label}": getattr(quality, rules.track.metric), f"runtime_ms_{label}": runtime}
        figures[f"bicubic_{label}"] = rules.bicubic_by_dataset.get(label)
    # NaN is an unknown figure too, see `ScoringRules.bicubic_psnr`.
    return {name: float(value) for name, value in figures.items() if value is not None and not math.isnan(value)}


def score_row(entry: Entry, figures: RowFigures, rules: ScoringRules) -> Entry:
    """Return the row with its runtime, and with the frame rate, roofline and score that follow from it.

    Parameters
    ----------
    entry
        A row with its quality. Its rank is not touched.
    figures
        The measurements behind the row.
    rules
        How scores are computed.
    """
    runtime = figures.runtime
    if runtime is None:
        return entry
    milliseconds = float(getattr(runtime, rules.statistic))
    update: dict[str, object] = {"runtime_ms": runtime, "fps": 1e3 / milliseconds}
    if entry.roofline is not None and entry.macs is not None:
        update["roofline"] = roofline_at(entry.roofline, entry.macs, milliseconds)
    # A stored row that is scored again must not keep the note of the earlier rules.
    update["notes"] = [note for note in entry.notes if not note.startswith(NO_SCORE)]
    timed = entry.model_copy(update=update)
    return timed.model_copy(update=_score(timed, runtime, figures, rules)) if entry.status == "ok" else timed


def _score(entry: Entry, runtime: Runtime, figures: RowFigures, rules: ScoringRules) -> dict[str, object]:
    """Return what a row gains by its score: nothing if a figure that the score needs is missing.

    Where the formula is undefined for the row's figures, or exceeds the range of numbers, that is a note.
    """
    known, track = known_figures(entry, rules), rules.track
    if figures.is_reference and "bicubic" in known:
        # Equal to the interpolation that the score subtracts, but for rounding errors, which would earn it a score.
        known |= dict.fromkeys(track.psnr_names, rules.bicubic_psnr)
    # Not an error: tracks may need figures that no run measures.
    if track.missing(known):
        return {}
    value = float(track.log_scores(known) if track.logarithmic else track.scores(known))
    if not math.isfinite(value):
        return {"notes": [*entry.notes, f"{NO_SCORE}the formula of {track.name} gives {value} for these figures"]}
    # Without the reference on an image, its level would count as uncertainty of the network.
    gains = [psnr - rules.reference[name] for name, psnr in figures.psnr.items() if name in rules.reference]
    low = high = math.nan
    if track.has_intervals:
        figures_of_row = known.get("psnr", 0.0), known["runtime_ms"]
        low, high = score_interval(figures_of_row, runtime.ci, gains, rules.score_function([entry]))
    update: dict[str, object] = {"score": track.score(**known), "score_ci": (low, high)}
    if track.logarithmic:
        update["score_log10"] = value / math.log(10)
        update["score_ci"] = math.exp(min(low, LARGEST_LOG)), math.exp(min(high, LARGEST_LOG))
        update["score_log10_ci"] = low / math.log(10), high / math.log(10)
    if not (math.isfinite(low) and math.isfinite(high)):
        # The formula is undefined within the intervals of the figures, or the track's scores have none.
        update |= {"score_ci": None, "score_log10_ci": None}
    update["partial_scores"] = {name: _finite(part(known)) for name, part in track.parts.items()}
    if entry.incomplete_ops:
        ranked = [name for names in track.rank_sums.values() for name in names]
        update["partly_counted"] = [name for name in _COUNTED if name in (*track.needs, *ranked)]
    return update


def rank_rows(entries: Sequence[Entry], figures: Mapping[str, RowFigures], rules: ScoringRules) -> Leaderboard:
    """Rank scored rows and compare every pair of them.

    Parameters
    ----------
    entries
        Scored rows, in the order of discovery.
    figures
        The measurements behind the rows, by slug. A row without stored times gets a rank, but no range and no ties, and
        so does every row of a track without intervals.
    rules
        How scores are computed and which rows are ranked.

    Returns
    -------
    Leaderboard
        Scored rows first, best first, then the others in the order of discovery. Baselines, rows of other backends and
        rows that fail a gate of the track are scored but not ranked, so that they do not take a rank from a submission.
        Neither are rows with a score of 0 or a PSNR below that of bicubic.
    """
    gated = [entry.model_copy(update={"failed_gates": _failed_gates(entry, rules)}) for entry in entries]
    # Ranks are given among ranked rows only: a baseline in between must not move a rank.
    ranked = [e for e in gated if _is_ranked(e, rules)]
    # Logarithms have the same order as the scores, and float64 can hold them.
    values = {e.slug: value for e in ranked if (value := _score_value(e)) is not None}
    ranks = rank(values, higher_is_better=rules.track.higher_is_better)
    sums = _rank_sums(ranked, rules)
    has_times = {slug for slug, one in figures.items() if one.times is not None and rules.track.has_intervals}
    known = [e for e in ranked if e.slug in has_times]
    known.sort(key=lambda entry: entry.slug)  # resampling must not depend on the order in which rows are given
    comparisons, ranges = _compare([(e, figures[e.slug]) for e in known], rules)
    unknown = [ranks[e.slug] for e in ranked if e.slug in ranks and e.slug not in ranges]
    ties = ties_of(comparisons)
    placed = []
    for entry in gated:
        place = ranks.get(entry.slug)
        # `ranges` are among the rows with stored times; the others shift them.
        span = ranges.get(entry.slug)
        if span is not None and place is not None:
            ahead = sum(other < place for other in unknown)  # rows that cannot be compared keep their place
            span = span[0] + ahead, span[1] + ahead
        update = {
            "rank": place,
            "rank_range": span,
            "tied_with": ties.get(entry.slug, []),
            "rank_sums": sums.get(entry.slug, {}),
        }
        placed.append(entry.model_copy(update=update))
    return Leaderboard(sorted(placed, key=lambda entry: _order(entry, rules.track)), comparisons)


def inexact_scores(entries: Sequence[Entry]) -> list[str]:
    """Return a warning for each figure of which only a lower bound enters scores or ranks, with the rows."""
    return [
        f"{', '.join(names)}: score and rank are not exact, because {figure} is a lower bound"
        for figure in _COUNTED
        if (names := [single_line(entry.name, 300) for entry in entries if figure in entry.partly_counted])
    ]


def _is_ranked(entry: Entry, rules: ScoringRules) -> bool:
    own = entry.kind == "submission" and entry.backend == rules.backend and not entry.variant_of
    return own and entry.score is not None and not entry.failed_gates and not _earns_nothing(entry, rules)


def _earns_nothing(entry: Entry, rules: ScoringRules) -> bool:
    """Return whether a scored row is no better than interpolation."""
    # Some formulas are positive below bicubic, too.
    if entry.delta_psnr_bicubic is not None and entry.delta_psnr_bicubic < 0:
        return True
    # Where logarithms are known, a score of 0 may be one below the range of float64.
    return entry.score == 0 and entry.score_log10 is None and rules.track.higher_is_better


def _failed_gates(entry: Entry, rules: ScoringRules) -> list[str]:
    """Return the conditions that a scored row fails, with its figures."""
    if entry.score is None:
        return []
    known = known_figures(entry, rules)
    failed = rules.track.failed_gates(known)
    return [f"{gate.text}: {gate.shown(known[gate.figure]) if gate.figure in known else 'unknown'}" for gate in failed]


def _score_value(entry: Entry) -> float | None:
    """Return what rows are ordered by: the score, or its logarithm where scores exceed the range of float64."""
    return entry.ordered_score


def _rank_sums(ranked: Sequence[Entry], rules: ScoringRules) -> dict[str, dict[str, int]]:
    """Return the sums of ranks by slug and by name of the sub-track, of rows that have all figures."""
    found: dict[str, dict[str, int]] = {}
    figures = {entry.slug: known_figures(entry, rules) for entry in ranked}
    for title, names in rules.track.rank_sums.items():
        rows = {slug: known for slug, known in figures.items() if all(name in known for name in names)}
        if rows:
            sums = rank_sum([{slug: known[name] for slug, known in rows.items()} for name in names])
            for slug, value in sums.items():
                found.setdefault(slug, {})[title] = value
    return found


def ties_of(comparisons: Sequence[PairComparison]) -> dict[str, list[str]]:
    """Return for each slug the others whose score does not differ significantly from its own."""
    ties: dict[str, list[str]] = {}
    for pair in comparisons:
        if not is_significant(pair.corrected_p_value):
            ties.setdefault(pair.slugs[0], []).append(pair.slugs[1])
            ties.setdefault(pair.slugs[1], []).append(pair.slugs[0])
    return ties


def _compare(
    rows: Sequence[tuple[Entry, RowFigures]], rules: ScoringRules
) -> tuple[list[PairComparison], dict[str, tuple[int, int]]]:
    """Return the comparison of all pairs, and the rank ranges by slug.

    Rows for which the formula is undefined within the uncertainty of their figures are left out of both.
    """
    slugs = [entry.slug for entry, _ in rows]
    if not rows:
        return [], {}
    # Rows are compared on images that all of them have.
    images = [name for name in rows[0][1].psnr if all(name in figures.psnr for _, figures in rows)]
    if not images:
        return [], {}
    data = [score_data(entry, figures, images, rules) for entry, figures in rows]
    resamples = resample_scores(
        data,
        rules.score_function([entry for entry, _ in rows]),
        reference_psnr(images, rules),
        logarithms=rules.track.logarithmic,
    )
    # Repeated without those rows, since resamples are drawn for all rows together. Each repetition has fewer rows.
    if not resamples.finite.all():
        return _compare([row for row, finite in zip(rows, resamples.finite, strict=True) if finite], rules)
    differences = score_differences(resamples)
    ranges = rank_ranges(resamples, differences, higher_is_better=rules.track.higher_is_better)
    pairs = [_stored(slugs, one) for one in differences]
    return pairs, dict(zip(slugs, ranges, strict=True))


def score_data(entry: Entry, figures: RowFigures, images: Sequence[str], rules: ScoringRules) -> ScoreData:
    """Return what the statistics of a row's score are computed from, on the given images."""
    assert figures.times is not None
    return ScoreData(
        mean_psnr=float(getattr(entry, rules.track.metric)),
        psnr=[figures.psnr[name] for name in images],
        runtime_ms=float(getattr(figures.runtime, rules.statistic)),
        times=figures.times,
    )


def reference_psnr(images: Sequence[str], rules: ScoringRules) -> list[float] | None:
    """Return the reference interpolation's PSNR of each image, or None if it does not have all of them."""
    known = all(name in rules.reference for name in images)
    return [rules.reference[name] for name in images] if known else None


def _stored(slugs: Sequence[str], one: ScoreDifference) -> PairComparison:
    low, high = one.difference.ci
    return PairComparison(
        slugs=(slugs[one.pair[0]], slugs[one.pair[1]]),
        difference=one.difference.value,
        ci=(low, high) if np.isfinite([low, high]).all() else None,
        p_value=one.difference.p_value,
        corrected_p_value=one.corrected_p_value,
    )


def _order(entry: Entry, track: Track) -> tuple[bool, float]:
    sign = -1.0 if track.higher_is_better else 1.0
    value = _score_value(entry)
    # Rows without a score come last. The sort is stable, so that equal rows keep the order of discovery.
    return value is None, sign * (value or 0.0)


def _finite(value: float | Floats) -> float | None:
    return float(value) if math.isfinite(float(value)) else None
