"""Whether two scores differ by more than what was measured can tell.

The quality of two networks is compared image by image, their times round by round: what both share, a hard image
or a busy machine, drops out of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.statistics.inference import (
    LEVEL,
    NORMAL_REACH,
    Difference,
    held_against_t,
    holm,
    log_ratio_resamples,
    student_reach,
    unbiased,
)
from harness.statistics.process_spread import RESAMPLES, Floats, RelativeTimes
from harness.tracks.track import Track

_MOST_TIMES = 1000  # shorter than the scored time an end of its interval may be taken to be


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
    pace: RelativeTimes


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
    half = (gains[drawn].mean(axis=1) - gains.mean()) / 2 * unbiased(gains.size)
    spread = float(np.std(difference(first.mean() + half, second.mean() - half, half_ratios)))
    observed = float(difference(first.mean()[None], second.mean()[None], np.zeros(1))[0])
    return held_against_t(observed, spread, min(first.size, rounds))


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
        deviations = (means - values.mean()) * reach * unbiased(values.size)
    low, high = (max(end, runtime_ms / _MOST_TIMES) for end in runtime_ci)
    times = runtime_ms * np.exp(rng.normal(0, math.log(high / low) / (2 * NORMAL_REACH), RESAMPLES))
    scores = track.scores(psnr + deviations, times, bicubic_psnr)
    ends = np.percentile(scores, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    observed = track.score(psnr, runtime_ms, bicubic_psnr)
    return min(observed, float(ends[0])), max(observed, float(ends[1]))
