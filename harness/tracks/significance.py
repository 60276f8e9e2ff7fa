"""Whether two scores differ by more than what was measured can tell.

The quality of two networks is compared image by image, their times round by round: what both share, a hard image
or a busy machine, drops out of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np

from harness.tracks.pace import (
    RESAMPLES,
    Floats,
    Pace,
    centre,
    is_enough,
    log_ratios,
    log_times,
    resampled_centres,
    share_all,
)
from harness.tracks.track import Track

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.05
NORMAL_REACH = 1.959964
"""Half of a 95 % interval in standard deviations."""
_MOST_TIMES = 1000  # shorter than the scored time an end of its interval may be taken to be
_NOTHING = 1e-9  # of a figure: the last digits of sums


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a score rests on.

    Attributes
    ----------
    psnr
        The scored PSNR of each image, dB, in the order of the data set.
    runtime_ms
        The scored runtime.
    pace
        The times behind it.
    """

    psnr: Sequence[float]
    runtime_ms: float
    pace: Pace


def tied(evidence: Mapping[str, Evidence], track: Track, bicubic_psnr: float) -> dict[str, list[str]]:
    """Return for each key the others whose score does not differ significantly from its own.

    Every pair is tested; the p-values are corrected for their number (Holm, Scandinavian Journal of Statistics 6,
    1979) and a pair is tied at 5 % and above.

    Parameters
    ----------
    evidence
        By slug, of the networks that are ranked, all on the same images.
    track
        Whose formula scores.
    bicubic_psnr
        What the formula subtracts, dB.
    """
    pairs = list(combinations(evidence, 2))
    values = {(a, b): score_p_value(evidence[a], evidence[b], track, bicubic_psnr) for a, b in pairs}
    groups: dict[str, list[str]] = {slug: [] for slug in evidence}
    for (one, other), p_value in holm(values).items():
        if p_value >= LEVEL:
            groups[one].append(other)
            groups[other].append(one)
    return groups


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


def score_p_value(one: Evidence, other: Evidence, track: Track, bicubic_psnr: float) -> float:
    """Return the two-sided p-value of the hypothesis that two networks have the same score."""
    return score_difference(one, other, track, bicubic_psnr).p_value


def score_difference(one: Evidence, other: Evidence, track: Track, bicubic_psnr: float) -> Difference:
    """Compare two scores, of whatever sign.

    Images and rounds are resampled together for both networks, and only what the two differ by is let vary: half of
    it is added to the one's figures and taken from the other's. The spread of the differences is held against Student's
    t, with as many degrees of freedom as the fewer of images and rounds leave.
    """
    rng = np.random.default_rng(0)
    first, second = np.asarray(one.psnr), np.asarray(other.psnr)
    drawn = rng.integers(0, first.size, size=(RESAMPLES, first.size))
    ratios, rounds = log_ratio_resamples(one.pace, other.pace, rng)
    half_ratios = (ratios - ratios.mean()) / 2

    def difference(psnr: Floats, other_psnr: Floats, faster: Floats) -> Floats:
        a = track.scores(psnr, one.runtime_ms * np.exp(faster), bicubic_psnr)
        return a - track.scores(other_psnr, other.runtime_ms * np.exp(-faster), bicubic_psnr)

    gains = first - second
    half = (gains[drawn].mean(axis=1) - gains.mean()) / 2 * _unbiased(gains.size)
    spread = float(np.std(difference(first.mean() + half, second.mean() - half, half_ratios)))
    observed = float(difference(first.mean()[None], second.mean()[None], np.zeros(1))[0])
    return _held_against_t(observed, spread, min(first.size, rounds))


def score_interval(
    psnr: float,
    runtime_ms: float,
    runtime_ci: tuple[float, float],
    gains: Sequence[float],
    track: Track,
    bicubic_psnr: float,
) -> tuple[float, float]:
    """Return the 95 % interval of a score, from its time's interval and from the images.

    Parameters
    ----------
    psnr
        The mean that is scored, dB.
    runtime_ms, runtime_ci
        The time that is scored, and its 95 % interval.
    gains
        PSNR less bicubic's, image by image: what of a hard image both share drops out. Two at the least, else only
        the time's interval counts. Images are drawn with replacement; the spread of so few is widened to Student's t.
    track, bicubic_psnr
        As for the score.
    """
    rng = np.random.default_rng(0)
    deviations = np.zeros(RESAMPLES)
    values = np.asarray(gains, dtype=np.float64)
    if values.size > 1:
        means = values[rng.integers(0, values.size, size=(RESAMPLES, values.size))].mean(axis=1)
        reach = student_reach(values.size - 1) / NORMAL_REACH
        deviations = (means - values.mean()) * reach * _unbiased(values.size)
    low, high = (max(end, runtime_ms / _MOST_TIMES) for end in runtime_ci)
    times = runtime_ms * np.exp(rng.normal(0, math.log(high / low) / (2 * NORMAL_REACH), RESAMPLES))
    scores = track.scores(psnr + deviations, times, bicubic_psnr)
    ends = np.percentile(scores, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    observed = track.score(psnr, runtime_ms, bicubic_psnr)
    return min(observed, float(ends[0])), max(observed, float(ends[1]))


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare the means of two networks' figures of the same images by resampling the images for both together.

    Parameters
    ----------
    first, second
        One figure for each image, in the same order.
    """
    gains = np.asarray(first) - np.asarray(second)
    drawn = np.random.default_rng(0).integers(0, gains.size, size=(RESAMPLES, gains.size))
    spread = float(np.std(gains[drawn].mean(axis=1))) * _unbiased(gains.size)
    return _held_against_t(float(gains.mean()), spread, gains.size)


def ratio_difference(one: Pace, other: Pace) -> Difference:
    """Compare two networks' times; the difference is in per cent of the second's."""
    found = log_ratio(one, other)
    low, high = (100 * float(np.expm1(end)) for end in found.ci)
    return Difference(100 * math.expm1(found.value), (low, high), found.p_value, found.degrees)


def log_interval(pace: Pace) -> tuple[float, float]:
    """Return the 95 % interval of the logarithm of a network's time, what its processes differ by included."""
    groups = log_times(pace)
    drawn = resampled_centres(groups, pace.own.relative, np.random.default_rng(0))
    units = pace.own.degrees + 1
    if is_enough(groups):
        units = min(units, sum(group.size for group in groups))
    return _held_against_t(centre(groups), float(np.std(drawn)), units).ci


def log_ratio(one: Pace, other: Pace) -> Difference:
    """Return the logarithm of the ratio of two networks' times: the middle of their processes' medians."""
    ratios, units = log_ratio_resamples(one, other, np.random.default_rng(0))
    paired = _paired(one, other)
    observed = centre(paired) if paired else centre(log_times(one)) - centre(log_times(other))
    return _held_against_t(observed, float(np.std(ratios)), units)


def _unbiased(count: int) -> float:
    """Return by how much the spread of resampled means falls short of that of means of `count` new values."""
    return math.sqrt(count / max(1, count - 1))


def student_reach(degrees: int) -> float:
    """Return half of a 95 % interval in standard deviations that were estimated with so many degrees of freedom."""
    from scipy.special import stdtrit  # not from scipy.stats, which takes half a second to import

    return float(stdtrit(degrees, 1 - LEVEL / 2))


def _held_against_t(value: float, spread: float, units: int) -> Difference:
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


def log_ratio_resamples(one: Pace, other: Pace, rng: np.random.Generator) -> tuple[Floats, int]:
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


def are_paired(one: Pace, other: Pace) -> bool:
    """Tell whether two networks are compared round by round, and not by the times of each."""
    return bool(_paired(one, other))


def _paired(one: Pace, other: Pace) -> list[Floats]:
    """Return the logarithms of the ratios of two networks that can be compared round by round, else nothing."""
    paired = log_ratios(one, other)
    return paired if is_enough(paired) and share_all(one, other) else []


def _between_anchors(one: Pace, other: Pace, rng: np.random.Generator) -> Floats:
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
