"""Compare the times of two networks that were timed in the same rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.results.measurement import TimingRecord
from harness.statistics.inference import LEVEL, are_paired, log_ratio
from harness.statistics.process_spread import ProcessSpread, log_ratios, log_times, midmean_of_medians
from harness.statistics.runtime_summary import process_spread, relative_times

_MOST_SIGNS = 4000  # combinations of signs; more are sampled
# The end is then known to 1/16,384 of the range that is searched.
_BISECTIONS = 14
_PAIR = 2  # rounds: one in ascending and one in descending order, in which drift has opposite signs


@dataclass(frozen=True, slots=True)
class TimeComparison:
    """Ratio of two networks' times.

    Attributes
    ----------
    ratio
        Below 1 if the first is faster.
    ci
        95 % interval of the ratio; (0, inf) if there are too few rounds to exclude any ratio.
    p_value
        Two-sided, of the hypothesis that both are equally fast; 1 if no round is shared.
    rounds
        Number of rounds that both had a turn in.
    paired
        Whether the ratio is computed round by round. False if one of them had processes without the other; the ratio is
        then that of their times relative to the anchor.
    """

    ratio: float
    ci: tuple[float, float]
    p_value: float
    rounds: int
    paired: bool


def compare_times(one: TimingRecord, other: TimingRecord, spread: ProcessSpread | None = None) -> TimeComparison:
    """Compare two networks of one session round by round.

    The ratio is the midmean of the processes' medians over rounds. Its interval includes the scatter of the rounds and
    the spread between processes. The p-value is the larger of two: that of the interval, and that of a signed-rank test
    (Wilcoxon, Biometrics 1, 1945) under flipped signs of pairs of rounds. The latter is exact if pairs of rounds are
    independent, and it is not small if there are few.

    Parameters
    ----------
    one, other
        Records with ``rounds`` of the same ``session``.
    spread
        Standard deviation between processes: `harness.statistics.runtime_summary.process_spread` of the run. It is
        estimated from the two networks alone by default.

    Raises
    ------
    ValueError
        They are not of the same session, or one of them had no turn in it.
    """
    if not one.session or one.session != other.session or not one.rounds or not other.rounds:
        raise ValueError("the two were not timed in the same rounds")
    spread = spread or process_spread([one, other])
    networks = relative_times(one, spread), relative_times(other, spread)
    shared = log_ratios(*networks)
    if not shared:
        difference = midmean_of_medians(log_times(networks[0])) - midmean_of_medians(log_times(networks[1]))
        return TimeComparison(math.exp(difference), (0.0, np.inf), 1.0, 0, paired=False)
    log, logs = log_ratio(*networks), np.concatenate(shared)
    p_value = max(signed_rank_p_value(logs), log.p_value)
    # What either test leaves possible, so that the interval excludes 1 only where p < 0.05.
    ends = [*log.ci, *widen_by_ranks(logs, log.ci), *((0.0,) if p_value >= LEVEL else ())]
    interval = math.exp(min(ends)), math.exp(max(ends))
    return TimeComparison(math.exp(log.value), interval, p_value, int(logs.size), paired=are_paired(*networks))


def signed_rank_p_value(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of no difference, by flipping the signs of pairs of neighbours."""
    from scipy.stats import rankdata  # imported here: it takes half a second

    pairs = differences.size // _PAIR
    if pairs < 2:
        return 1.0
    kept = differences[: pairs * _PAIR]
    weights = np.sign(kept) * rankdata(np.abs(kept))
    blocks = weights.reshape(pairs, _PAIR).sum(axis=1)
    signs = _signs(pairs)
    null = np.abs(signs @ blocks)
    # The margin keeps sums that are equal but for rounding among those that are as extreme.
    return float((null >= abs(blocks.sum()) - 1e-9).mean())


def widen_by_ranks(differences: NDArray[np.float64], interval: tuple[float, float]) -> tuple[float, float]:
    """Widen a 95 % interval until it holds all locations that `signed_rank_p_value` does not reject.

    Parameters
    ----------
    differences
        One per round.
    interval
        The interval by another test, which holds the location itself.

    Returns
    -------
    low, high
        (-inf, inf) if the test cannot reject any location, with fewer than 12 rounds.
    """
    # The smallest p-value that this test can reach: two of all combinations of signs are the most extreme ones.
    if 2.0 ** (1 - differences.size // _PAIR) >= LEVEL:
        return -math.inf, math.inf
    low, high = interval
    return (
        _end_of_interval(differences, low, float(differences.min())),
        _end_of_interval(differences, high, float(differences.max())),
    )


def _end_of_interval(differences: NDArray[np.float64], end: float, extreme: float) -> float:
    """Return where the test begins to reject between an end of an interval and the extreme difference, by bisection."""
    kept, rejected = end, extreme
    if signed_rank_p_value(differences - end) < LEVEL:
        return end
    for _ in range(_BISECTIONS):
        middle = (kept + rejected) / 2
        if signed_rank_p_value(differences - middle) < LEVEL:
            rejected = middle
        else:
            kept = middle
    # The outer end of the last step, so that no location is left out that the test accepts.
    return rejected


@lru_cache(maxsize=1)
def _signs(pairs: int) -> NDArray[np.float64]:
    """Return all combinations of signs, or a fixed random sample with the observed one if there are too many."""
    if 2**pairs <= _MOST_SIGNS:
        codes = np.arange(2**pairs)
        # Bit k of a code is the sign of pair k.
        return np.where((codes[:, None] >> np.arange(pairs)) & 1, -1.0, 1.0)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(_MOST_SIGNS, pairs))
    # The observed signs belong to the null distribution, so the p-value is never 0.
    signs[0] = 1.0
    return signs
