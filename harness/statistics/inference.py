"""Differences of means and of times, with intervals and p-values, and corrections for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from harness.statistics.process_spread import (
    ASSUMED_SPREAD,
    RESAMPLES,
    Floats,
    RelativeTimes,
    block_length,
    has_enough_rounds,
    log_ratios,
    log_times,
    midmean_of_medians,
    resampled_midmeans,
    share_all,
)

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.05
NORMAL_REACH = 1.959964
"""Half of a 95 % interval in standard deviations."""
NEGLIGIBLE = 1e-9
"""Relative size of a difference that rounding explains."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of two figures with its uncertainty.

    Attributes
    ----------
    value
        The first minus the second.
    ci
        95 % interval.
    p_value
        Two-sided, of the hypothesis that there is no difference.
    """

    value: float
    ci: tuple[float, float]
    p_value: float


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare the means of two networks' figures on the same images by a paired t-test.

    Parameters
    ----------
    first, second
        One figure per image, in the same order.
    """
    gains = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    spread = float(gains.std(ddof=1)) / math.sqrt(gains.size) if gains.size > 1 else 0.0
    return t_test(float(gains.mean()), spread, gains.size)


def ratio_difference(one: RelativeTimes, other: RelativeTimes) -> Difference:
    """Compare two networks' times; the difference is in per cent of the second."""
    logs = log_ratio(one, other)
    low, high = (100 * float(np.expm1(end)) for end in logs.ci)
    return Difference(100 * math.expm1(logs.value), (low, high), logs.p_value)


def interval_difference(
    first: float, first_ci: tuple[float, float], second: float, second_ci: tuple[float, float]
) -> Difference:
    """Compare two positive figures of which only the 95 % intervals are known; the difference is in per cent.

    The figures are taken to be independent and their logarithms to be normal.
    """
    value = math.log(first / second)
    # Standard errors that the intervals imply, on the logarithmic scale.
    spread = math.hypot(*(math.log(high / low) / (2 * NORMAL_REACH) for low, high in (first_ci, second_ci)))
    logs = t_test(value, spread, ASSUMED_SPREAD.own.degrees)
    low, high = (100 * math.expm1(end) for end in logs.ci)
    return Difference(100 * math.expm1(value), (low, high), logs.p_value)


def log_interval(network: RelativeTimes) -> tuple[float, float]:
    """Return the 95 % interval of the logarithm of a network's time, including the spread between processes."""
    groups = log_times(network)
    resamples = resampled_midmeans(groups, network.own.relative, np.random.default_rng(0))
    # `t_test` takes the number of values, one more than the degrees of freedom.
    count = network.own.degrees + 1
    if has_enough_rounds(groups):
        count = min(count, sum(group.size for group in groups))
    return t_test(midmean_of_medians(groups), float(np.std(resamples)), count).ci


def log_ratio(one: RelativeTimes, other: RelativeTimes) -> Difference:
    """Return the logarithm of the ratio of two networks' times: the midmean of their processes' medians.

    Networks of one session are compared round by round. Others are compared by their medians, and so are networks of
    which one had processes without the other, because the effects that are common to all do not cancel there.
    """
    rng = np.random.default_rng(0)
    paired = _paired_log_ratios(one, other)
    if paired:
        # The ratio of two processes has the variance of both.
        spread = math.sqrt(2) * one.paired.relative  # both networks are of one session, therefore of one run
        rounds = sum(group.size for group in paired)
        resamples = resampled_midmeans(paired, spread, rng)
        return t_test(midmean_of_medians(paired), float(np.std(resamples)), min(rounds, one.paired.degrees + 1))
    groups = log_times(one), log_times(other)
    first, second = (
        resampled_midmeans(logs, network.own.relative, rng) for logs, network in zip(groups, (one, other), strict=True)
    )
    resamples = first - second + _anchor_differences(one, other, rng)
    counts = [sum(group.size for group in logs) for logs in groups if has_enough_rounds(logs)]
    count = min(one.own.degrees + 1, other.own.degrees + 1, *counts)
    value = midmean_of_medians(groups[0]) - midmean_of_medians(groups[1])
    return t_test(value, float(np.std(resamples)), count)


def are_paired(one: RelativeTimes, other: RelativeTimes) -> bool:
    """Return whether two networks are compared round by round."""
    return bool(_paired_log_ratios(one, other))


def _paired_log_ratios(one: RelativeTimes, other: RelativeTimes) -> list[Floats]:
    """Return the log ratios by round of two networks that can be compared round by round, else an empty list."""
    ratios = log_ratios(one, other)
    return ratios if has_enough_rounds(ratios) and share_all(one, other) else []


def _anchor_differences(one: RelativeTimes, other: RelativeTimes, rng: np.random.Generator) -> Floats:
    """Return resamples of the difference between the two anchor processes that the times are relative to."""
    if one.anchor == other.anchor and (one.anchor or not one.session):  # older records do not name the anchor
        return np.zeros(RESAMPLES)
    return rng.normal(0, math.hypot(one.own.relative, other.own.relative), RESAMPLES)


def unbiased(count: int) -> float:
    """Return the factor by which the standard deviation of resampled means of `count` values is too small."""
    return math.sqrt(count / max(1, count - 1))


def student_reach(degrees: float) -> float:
    """Return half of a 95 % interval in standard deviations that were estimated with `degrees` of freedom."""
    from scipy.special import stdtrit  # imported here: scipy takes long, and workers do not need it

    return float(stdtrit(degrees, 1 - LEVEL / 2))


def for_few_values(value: float, ends: tuple[float, float], count: int) -> tuple[float, float]:
    """Widen the 95 % interval of a bootstrap over blocks, which is too narrow where it is drawn from few values.

    Parameters
    ----------
    value
        The estimate, positive.
    ends
        Its interval by :func:`block_resamples`. It is widened to Student's t on the logarithmic scale, so that it stays
        positive.
    count
        Number of values that were resampled. Nothing is known of the scatter of one.
    """
    if count < 2:
        return ends
    block = block_length(count)
    blocks = count / block
    # Blocks that overlap estimate a variance as well as one and a half times as many that do not (Künsch, 1989).
    degrees = max(1.0, (1.5 * blocks if block > 1 else blocks) - 1)
    factor = math.sqrt(blocks / (blocks - 1)) * student_reach(degrees) / NORMAL_REACH
    below, above = (factor * math.log(max(end, NEGLIGIBLE * value) / value) for end in ends)
    return value * math.exp(min(0.0, below)), value * math.exp(max(0.0, above))


def t_test(value: float, spread: float, count: int) -> Difference:
    """Test a difference against 0 by Student's t.

    Parameters
    ----------
    value
        The difference.
    spread
        Its standard error.
    count
        Number of independent values that the standard error was estimated from. With fewer than two, nothing is known
        of a difference other than 0: the p-value is 1 and the interval is infinite.
    """
    if count < 2 and value != 0:
        return Difference(value, (-math.inf, math.inf), 1.0)
    if spread < NEGLIGIBLE * max(1.0, abs(value)):
        return Difference(value, (value, value), 1.0 if abs(value) < NEGLIGIBLE else 0.0)
    from scipy.special import stdtr

    degrees = count - 1
    reach = student_reach(degrees) * spread
    return Difference(value, (value - reach, value + reach), float(2 * stdtr(degrees, -abs(value) / spread)))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Return p-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    corrected: dict[Key, float] = {}
    largest = 0.0
    for position, (key, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        # A larger p-value never gets a smaller corrected one.
        largest = max(largest, min(1.0, (len(p_values) - position) * p_value))
        corrected[key] = largest
    return corrected


def is_significant(p_value: float) -> bool:
    """Return whether a p-value, corrected if several hypotheses are tested, is below the 5 % level."""
    return p_value < LEVEL
