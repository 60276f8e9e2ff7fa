"""By how much one network is faster than another, with an interval and a p-value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.results.measurement import TimingRecord
from harness.timing.statistics import bootstrap_interval, round_ratios
from harness.tracks.significance import NORMAL_REACH, PAIR_SPREAD

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
    """

    ratio: float
    ci: tuple[float, float]
    p_value: float
    rounds: int


def compare_times(one: TimingRecord, other: TimingRecord) -> TimeComparison:
    """Compare two networks of one joint timing round by round.

    The ratio is the median of the rounds' ratios, its interval a moving-block bootstrap, widened by what two processes
    of one network differ by (``PROCESS_SPREAD`` in ``harness.tracks``). The p-value is the larger of two: of a
    signed-rank statistic (Wilcoxon, Biometrics 1, 1945) under flipped signs of whole pairs of rounds, which is exact
    as far as pairs of rounds are independent and never small where there are few; and of the ratio's distance from 1
    under rounds and processes together.

    Parameters
    ----------
    one, other
        Records with ``rounds`` of the same ``session``.

    Raises
    ------
    ValueError
        They are not of the same joint timing.
    """
    if not one.session or one.session != other.session:
        raise ValueError("the two were not timed in the same rounds")
    first, second = round_ratios(one), round_ratios(other)
    by_number = dict(zip(second.numbers, second.values, strict=True))
    logs = np.array(
        [np.log(a / by_number[n]) for n, a in zip(first.numbers, first.values, strict=True) if n in by_number]
    )
    if logs.size == 0:
        return TimeComparison(float(np.median(first.values) / np.median(second.values)), (0.0, np.inf), 1.0, 0)
    centre = float(np.median(logs))
    low, high = bootstrap_interval(logs, "median")
    below, above = (math.hypot(reach, NORMAL_REACH * PAIR_SPREAD) for reach in (centre - low, high - centre))
    spread = math.hypot((high - low) / (2 * NORMAL_REACH), PAIR_SPREAD)
    by_size = math.erfc(abs(centre) / spread / math.sqrt(2))
    p_value = max(signed_rank_p_value(logs), by_size)
    return TimeComparison(
        math.exp(centre), (math.exp(centre - below), math.exp(centre + above)), p_value, int(logs.size)
    )


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
