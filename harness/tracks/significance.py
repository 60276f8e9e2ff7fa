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
from numpy.typing import NDArray
from scipy.stats import t as student

from harness.tracks.track import Track

Key = TypeVar("Key", bound=Hashable)
Floats = NDArray[np.float64]

LEVEL = 0.05
_RESAMPLES = 1000
_FEW = 6  # times of which resampling says nothing
_MANY = 1000  # rounds, where the spread is assumed and not estimated from few
_ASSUMED_SPREAD = 0.1  # of one call on its own, relative: what back-to-back calls were seen to differ by


@dataclass(frozen=True, slots=True)
class Pace:
    """A network's times, in the order in which they were taken.

    Attributes
    ----------
    times
        By round, in any unit; rounds of networks with the same ``session`` belong together.
    session
        The joint timing; empty where the network was timed alone.
    """

    times: Mapping[int, float]
    session: str = ""


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


def score_p_value(one: Evidence, other: Evidence, track: Track, bicubic_psnr: float) -> float:
    """Return the two-sided p-value of the hypothesis that two networks have the same score.

    Images and rounds are resampled together for both networks, and only what the two differ by is let vary: half of
    it is added to the one's figures and taken from the other's. The difference of the scores relative to their sum,
    over the spread of its resamples, is held against Student's t, with as many degrees of freedom as the fewer of
    images and rounds leave.
    """
    rng = np.random.default_rng(0)
    first, second = np.asarray(one.psnr), np.asarray(other.psnr)
    drawn = rng.integers(0, first.size, size=(_RESAMPLES, first.size))
    ratios, rounds = log_ratio_resamples(one.pace, other.pace, rng)
    scale = other.runtime_ms * np.exp(ratios - ratios.mean() + math.log(one.runtime_ms / other.runtime_ms))

    def difference(psnr: float, other_psnr: float, ms: float) -> float:
        a, b = track.score(psnr, ms, bicubic_psnr), track.score(other_psnr, other.runtime_ms, bicubic_psnr)
        return (a - b) / (a + b) if a != b else 0.0

    gains = first - second
    half = (gains[drawn].mean(axis=1) - gains.mean()) / 2
    resampled = zip(first.mean() + half, second.mean() - half, scale, strict=True)
    differences = [difference(*figures) for figures in resampled]
    observed = difference(float(first.mean()), float(second.mean()), one.runtime_ms)
    spread = float(np.std(differences))
    if spread == 0:
        return 1.0 if observed == 0 else 0.0
    return float(2 * student.sf(abs(observed) / spread, max(1, min(first.size, rounds) - 1)))


def log_ratio_resamples(one: Pace, other: Pace, rng: np.random.Generator) -> tuple[Floats, int]:
    """Resample the logarithm of the ratio of two networks' times, and say how many rounds it rests on.

    Networks of one joint timing are compared round by round; others by their medians, resampled apart.
    """
    common = sorted(one.times.keys() & other.times.keys())
    if one.session and one.session == other.session and len(common) >= _FEW:
        pairs = np.log([one.times[i] / other.times[i] for i in common])
        return np.median(_block_resamples(pairs, rng), axis=1), len(common)
    rounds = (len(pace.times) for pace in (one, other) if len(pace.times) >= _FEW)
    return _log_medians(one, rng) - _log_medians(other, rng), min(rounds, default=_MANY)


def _log_medians(pace: Pace, rng: np.random.Generator) -> Floats:
    values = np.log(list(pace.times.values()))
    if values.size < _FEW:
        return np.asarray(np.median(values) + rng.normal(0, _ASSUMED_SPREAD / math.sqrt(values.size), _RESAMPLES))
    return np.asarray(np.median(_block_resamples(values, rng), axis=1))


def _block_resamples(values: Floats, rng: np.random.Generator) -> Floats:
    """Resample blocks of neighbours, because neighbouring times are alike (Künsch, Annals of Statistics 17, 1989)."""
    n = values.size
    block = max(1, round(n ** (1 / 3)))
    starts = rng.integers(0, n - block + 1, size=(_RESAMPLES, -(-n // block)))
    return values[(starts[:, :, None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :n]]


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Return p-values corrected for their number by Holm's step-down method."""
    corrected: dict[Key, float] = {}
    largest = 0.0
    for position, (key, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_value))
        corrected[key] = largest
    return corrected
