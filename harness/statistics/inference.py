"""Differences of means and of times, with intervals and p-values, and corrections for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from harness.statistics.process_spread import (
    RESAMPLES,
    Floats,
    RelativeTimes,
    centre,
    is_enough,
    log_ratios,
    log_times,
    resampled_centres,
    share_all,
)

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.05
NORMAL_REACH = 1.959964
"""Half of a 95 % interval in standard deviations."""
_NOTHING = 1e-9  # of a figure: the last digits of sums


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one figure exceeds another, and how well that is known.

    Attributes
    ----------
    value
        The first less the second.
    ci
        95 % interval.
    p_value
        Two-sided, of the hypothesis that there is no difference.
    degrees
        Of freedom that the interval was made with; 0 where nothing was resampled.
    """

    value: float
    ci: tuple[float, float]
    p_value: float
    degrees: int


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare the means of two networks' figures of the same images by resampling the images for both together.

    Parameters
    ----------
    first, second
        One figure for each image, in the same order.
    """
    gains = np.asarray(first) - np.asarray(second)
    drawn = np.random.default_rng(0).integers(0, gains.size, size=(RESAMPLES, gains.size))
    spread = float(np.std(gains[drawn].mean(axis=1))) * unbiased(gains.size)
    return held_against_t(float(gains.mean()), spread, gains.size)


def ratio_difference(one: RelativeTimes, other: RelativeTimes) -> Difference:
    """Compare two networks' times; the difference is in per cent of the second's."""
    found = log_ratio(one, other)
    low, high = (100 * float(np.expm1(end)) for end in found.ci)
    return Difference(100 * math.expm1(found.value), (low, high), found.p_value, found.degrees)


def log_interval(pace: RelativeTimes) -> tuple[float, float]:
    """Return the 95 % interval of the logarithm of a network's time, what its processes differ by included."""
    groups = log_times(pace)
    drawn = resampled_centres(groups, pace.own.relative, np.random.default_rng(0))
    units = pace.own.degrees + 1
    if is_enough(groups):
        units = min(units, sum(group.size for group in groups))
    return held_against_t(centre(groups), float(np.std(drawn)), units).ci


def log_ratio(one: RelativeTimes, other: RelativeTimes) -> Difference:
    """Return the logarithm of the ratio of two networks' times: the middle of their processes' medians."""
    ratios, units = log_ratio_resamples(one, other, np.random.default_rng(0))
    paired = _paired(one, other)
    observed = centre(paired) if paired else centre(log_times(one)) - centre(log_times(other))
    return held_against_t(observed, float(np.std(ratios)), units)


def unbiased(count: int) -> float:
    """Return by how much the spread of resampled means falls short of that of means of `count` new values."""
    return math.sqrt(count / max(1, count - 1))


def student_reach(degrees: int) -> float:
    """Return half of a 95 % interval in standard deviations that were estimated with so many degrees of freedom."""
    from scipy.special import stdtrit  # not from scipy.stats, which takes half a second to import

    return float(stdtrit(degrees, 1 - LEVEL / 2))


def held_against_t(value: float, spread: float, units: int) -> Difference:
    """Return the interval and the p-value of a difference whose resamples of `units` things have this spread."""
    if units < 2 and value != 0:
        return Difference(value, (-math.inf, math.inf), 1.0, 0)
    if spread < _NOTHING * max(1.0, abs(value)):
        return Difference(value, (value, value), 1.0 if abs(value) < _NOTHING else 0.0, 0)
    degrees = units - 1
    from scipy.special import stdtr

    reach = student_reach(degrees) * spread
    p_value = float(2 * stdtr(degrees, -abs(value) / spread))
    return Difference(value, (value - reach, value + reach), p_value, degrees)


def log_ratio_resamples(one: RelativeTimes, other: RelativeTimes, rng: np.random.Generator) -> tuple[Floats, int]:
    """Resample the logarithm of the ratio of two networks' times about 0, and say how many units it rests on.

    Networks of one joint timing are compared round by round. Others are compared by their medians, resampled apart, and
    so are those of which one had processes without the other, where what hits all alike does not drop out. What
    processes differ by is drawn for each process.
    """
    paired = _paired(one, other)
    if paired:
        spread = math.sqrt(2) * one.paired.relative  # of one session, so of one run
        rounds = sum(group.size for group in paired)
        return resampled_centres(paired, spread, rng), min(rounds, one.paired.degrees + 1)
    units = min(one.own.degrees, other.own.degrees) + 1
    apart = [log_times(pace) for pace in (one, other)]
    first, second = (
        resampled_centres(groups, pace.own.relative, rng) for groups, pace in zip(apart, (one, other), strict=True)
    )
    known = (sum(group.size for group in groups) for groups in apart if is_enough(groups))
    return first - second + _between_anchors(one, other, rng), min([units, *known])


def are_paired(one: RelativeTimes, other: RelativeTimes) -> bool:
    """Tell whether two networks are compared round by round, and not by the times of each."""
    return bool(_paired(one, other))


def _paired(one: RelativeTimes, other: RelativeTimes) -> list[Floats]:
    """Return the logarithms of the ratios of two networks that can be compared round by round, else nothing."""
    paired = log_ratios(one, other)
    return paired if is_enough(paired) and share_all(one, other) else []


def _between_anchors(one: RelativeTimes, other: RelativeTimes, rng: np.random.Generator) -> Floats:
    """Return what two processes of the anchor may differ by: times beside one are not quite those beside another."""
    if one.anchor == other.anchor and (one.anchor or not one.session):  # older records do not name it
        return np.zeros(RESAMPLES)
    return rng.normal(0, math.hypot(one.own.relative, other.own.relative), RESAMPLES)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Return p-values corrected for their number by Holm's step-down method."""
    corrected: dict[Key, float] = {}
    largest = 0.0
    for position, (key, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_value))
        corrected[key] = largest
    return corrected
