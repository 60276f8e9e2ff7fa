"""Scores, intervals, ranks and ties of rows: the only place where they are made, for new and for stored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.results.record import Backend, Statistic
from harness.results.schema import Entry, PairComparison, Runtime
from harness.statistics.inference import is_significant
from harness.statistics.process_spread import Floats, RelativeTimes
from harness.statistics.rank_ranges import rank_ranges
from harness.statistics.score_difference import (
    ScoreData,
    ScoreDifference,
    resample_scores,
    score_differences,
    score_interval,
)
from harness.tracks.ranking import rank
from harness.tracks.roofline import roofline_at
from harness.tracks.track import Track


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """Everything that a score and a rank depend on besides a row's own measurements.

    Attributes
    ----------
    track
        Its formula computes the score.
    bicubic_psnr
        PSNR of bicubic on the same images, dB: the figure that the track's ``metric`` names.
    statistic
        The statistic of the runtime that the score uses.
    backend
        The run's backend. Rows of other backends are scored but not ranked.
    reference
        PSNR of each image by the interpolation that the score subtracts, dB. Empty if no row has it.
    """

    track: Track
    bicubic_psnr: float
    statistic: Statistic
    backend: Backend = "eager"
    reference: Mapping[str, float] = field(default_factory=dict)

    def scores(self, psnr: Floats, runtime_ms: Floats) -> Floats:
        """Return the score of each PSNR with its runtime; the arguments are broadcast."""
        both = np.broadcast_arrays(psnr, runtime_ms)
        scores = self.track.scores(both[0].ravel(), both[1].ravel(), self.bicubic_psnr)
        return scores.reshape(both[0].shape)


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
        Whether the row is the interpolation that the score subtracts. Its score is 0 by definition, regardless of the
        rounding errors of its PSNR.
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
    psnr = getattr(entry, rules.track.metric)
    if entry.status == "ok" and psnr is not None:
        update |= _score(psnr, milliseconds, runtime, figures, rules)
    return entry.model_copy(update=update)


def _score(
    psnr: float, milliseconds: float, runtime: Runtime, figures: RowFigures, rules: ScoringRules
) -> dict[str, object]:
    if figures.is_reference:
        return {"score": 0.0, "score_ci": (0.0, 0.0)}
    gains = [value - rules.reference[name] for name, value in figures.psnr.items() if name in rules.reference]
    interval = score_interval((psnr, milliseconds), runtime.ci, gains, rules.scores)
    return {"score": rules.track.score(psnr, milliseconds, rules.bicubic_psnr), "score_ci": interval}


def rank_rows(entries: Sequence[Entry], figures: Mapping[str, RowFigures], rules: ScoringRules) -> Leaderboard:
    """Rank scored rows and compare every pair of them.

    Parameters
    ----------
    entries
        Scored rows, in the order of discovery.
    figures
        The measurements behind the rows, by slug. A row without stored times gets a rank, but no range and no ties.
    rules
        How scores are computed and which rows are ranked.

    Returns
    -------
    Leaderboard
        Scored rows first, best first, then the others in the order of discovery. Baselines and rows of other backends
        are scored but not ranked, so that they do not take a rank from a submission. A score of 0 and a PSNR below
        bicubic's earn no rank.
    """
    ranked = [e for e in entries if _takes_rank(e, rules)]
    ranks = rank(
        {e.slug: e.score for e in ranked if e.score is not None}, higher_is_better=rules.track.higher_is_better
    )
    known = [e for e in ranked if e.slug in figures and figures[e.slug].times is not None]
    comparisons, ranges = _compare([(e, figures[e.slug]) for e in known], rules)
    unknown = [ranks[e.slug] for e in ranked if e not in known]
    ties = ties_of(comparisons)
    placed = []
    for entry in entries:
        place = ranks.get(entry.slug)
        span = ranges.get(entry.slug)
        if span is not None and place is not None:
            ahead = sum(other < place for other in unknown)  # rows that cannot be compared keep their place
            span = span[0] + ahead, span[1] + ahead
        update = {"rank": place, "rank_range": span, "tied_with": ties.get(entry.slug, [])}
        placed.append(entry.model_copy(update=update))
    return Leaderboard(sorted(placed, key=lambda entry: _order(entry, rules.track)), comparisons)


def _takes_rank(entry: Entry, rules: ScoringRules) -> bool:
    if entry.score is None or entry.kind != "submission" or entry.backend != rules.backend:
        return False
    loses = entry.delta_psnr_bicubic is not None and entry.delta_psnr_bicubic < 0
    return not loses and not (entry.score == 0 and rules.track.higher_is_better)


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
    """Return the comparison of all pairs, and the rank ranges by slug."""
    slugs = [entry.slug for entry, _ in rows]
    if not rows:
        return [], {}
    images = [name for name in rows[0][1].psnr if all(name in figures.psnr for _, figures in rows)]
    if not images:
        return [], {}
    data = [score_data(entry, figures, images, rules) for entry, figures in rows]
    resamples = resample_scores(data, rules.scores, reference_psnr(images, rules))
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
    return entry.score is None, sign * (entry.score or 0.0)
