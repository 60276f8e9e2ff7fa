"""By how much one network is faster than another, with an interval and a p-value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.results.measurement import TimingRecord
from harness.statistics.inference import are_paired, log_ratio
from harness.statistics.process_spread import ProcessSpread, centre, log_ratios, log_times
from harness.statistics.runtime_summary import process_spread, relative_times

_FLIPS = 4000
_PAIR = 2  # rounds: one in rising and one in falling order, in which drift has opposite signs


@dataclass(frozen=True, slots=True)
class TimeComparison:
    """One network's time in units of another's.

    Attributes
    ----------
    ratio
        Below 1 where the first is faster.
    ci
        95 % interval of the ratio.
    p_value
        Two-sided, of the hypothesis that both are equally fast; 1 where fewer than two rounds are shared.
    rounds
        How many rounds both had a turn in.
    paired
        Whether the ratio is of those rounds; else one of them had processes without the other, and it is of their times
        in anchors.
    """

    ratio: float
    ci: tuple[float, float]
    p_value: float
    rounds: int
    paired: bool


def compare_times(one: TimingRecord, other: TimingRecord, spread: ProcessSpread | None = None) -> TimeComparison:
    """Compare two networks of one joint timing round by round.

    The ratio is the mean of the middle ones of the processes' medians over rounds. Its interval comes from resampled
    rounds and from what processes of one network differ by. The p-value is the larger of two: of a signed-rank
    statistic (Wilcoxon, Biometrics 1, 1945) under flipped signs of whole pairs of rounds, which is exact as far as
    pairs of rounds are independent and never small where there are few; and of the ratio's distance from 1 under
    rounds and processes together.

    Parameters
    ----------
    one, other
        Records with ``rounds`` of the same ``session``.
    spread
        What processes of one network differ by: :func:`harness.timing.process_spread` of the run. Estimated from the
        two alone by default.

    Raises
    ------
    ValueError
        They are not of the same joint timing, or one of them had no turn in it.
    """
    if not one.session or one.session != other.session or not one.rounds or not other.rounds:
        raise ValueError("the two were not timed in the same rounds")
    spread = spread or process_spread([one, other])
    paces = relative_times(one, spread), relative_times(other, spread)
    shared = log_ratios(*paces)
    if not shared:
        apart = centre(log_times(paces[0])) - centre(log_times(paces[1]))
        return TimeComparison(math.exp(apart), (0.0, np.inf), 1.0, 0, paired=False)
    found, logs = log_ratio(*paces), np.concatenate(shared)
    low, high = (math.exp(end) for end in found.ci)
    p_value = max(signed_rank_p_value(logs), found.p_value)
    return TimeComparison(math.exp(found.value), (low, high), p_value, int(logs.size), paired=are_paired(*paces))


def signed_rank_p_value(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of differences that scatter about 0, by flipping signs of neighbouring pairs."""
    from scipy.stats import rankdata  # half a second, which no worker needs to spend

    pairs = differences.size // _PAIR
    if pairs < 2:
        return 1.0
    kept = differences[: pairs * _PAIR]
    weights = np.sign(kept) * rankdata(np.abs(kept))
    blocks = weights.reshape(pairs, _PAIR).sum(axis=1)
    signs = _signs(pairs)
    null = np.abs(signs @ blocks)
    return float((null >= abs(blocks.sum()) - 1e-9).mean())


def _signs(pairs: int) -> NDArray[np.float64]:
    """Return all combinations of signs where there are few enough, else a fixed random sample with the given one."""
    if 2**pairs <= _FLIPS:
        codes = np.arange(2**pairs)
        return np.where((codes[:, None] >> np.arange(pairs)) & 1, -1.0, 1.0)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(_FLIPS, pairs))
    signs[0] = 1.0
    return signs
