"""Differences of scores: joint resamples of images and times, one p-value per pair, and intervals of single scores.

The only input from a track is its score function. Quality is compared image by image and time round by round, so that
what networks share, such as a difficult image or a busy machine, cancels in the differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.statistics.inference import (
    LEVEL,
    NEGLIGIBLE,
    NORMAL_REACH,
    Difference,
    holm,
    student_reach,
    unbiased,
)
from harness.statistics.joint_times import joint_log_times, time_degrees
from harness.statistics.process_spread import RESAMPLES, Floats, RelativeTimes

ScoreFunction = Callable[[Floats, Floats], Floats]
"""Maps arrays of PSNR (dB) and of runtime (ms), networks x resamples, to an array of scores of that shape.

It may return the natural logarithms of the scores instead, if they exceed the range of float64."""

LARGEST_LOG = math.log(1e300)
"""Natural logarithm of the largest score that is stored as a number; larger ones are known by their logarithm."""
_SHORTEST_SHARE = 1e-3  # lower limit of the end of a runtime's interval, as a fraction of the runtime


@dataclass(frozen=True, slots=True)
class ScoreData:
    """The measurements that a score is computed from.

    Attributes
    ----------
    mean_psnr
        The PSNR that is scored, dB.
    psnr
        PSNR of each image, dB, in the order of the data set.
    runtime_ms
        The runtime that is scored, milliseconds.
    times
        The times that the runtime summarises.
    """

    mean_psnr: float
    psnr: Sequence[float]
    runtime_ms: float
    times: RelativeTimes


@dataclass(frozen=True, slots=True)
class ScoreResamples:
    """Scores of several networks under joint resampling.

    Attributes
    ----------
    observed
        The scores, one per network.
    by_images, by_times
        Scores under resampling of the images only and of the times only, networks x resamples.
    joint
        Scores under resampling of both, with the spread widened to Student's t, networks x resamples.
    images
        Number of images.
    time_degrees
        Degrees of freedom of the difference in time of each pair, networks x networks.
    logarithms
        Whether all scores are given as natural logarithms.
    """

    observed: Floats
    by_images: Floats
    by_times: Floats
    joint: Floats
    images: int
    time_degrees: NDArray[np.int64]
    logarithms: bool = False

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which networks have a finite score in every resample."""
        parts = self.by_images, self.by_times, self.joint
        every = [np.isfinite(self.observed), *(np.isfinite(part).all(axis=1) for part in parts)]
        return np.asarray(np.logical_and.reduce(every))


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """The difference of two scores.

    Attributes
    ----------
    pair
        Indices of the two networks.
    difference
        The first score minus the second; its p-value is not corrected.
    corrected_p_value
        The p-value corrected for the number of pairs.
    """

    pair: tuple[int, int]
    difference: Difference
    corrected_p_value: float

    @property
    def significant(self) -> bool:
        """Whether the two scores differ at the 5 % level, corrected for the number of pairs."""
        return self.corrected_p_value < LEVEL


@dataclass(frozen=True, slots=True)
class _PairTests:
    """Tests of all pairs as symmetric or antisymmetric matrices, networks x networks.

    Attributes
    ----------
    logarithmic
        Whether the pair is compared by the logarithms of its scores.
    value, reach
        The difference on that scale, and half of its 95 % interval.
    p_value
        Two-sided.
    """

    logarithmic: NDArray[np.bool_]
    value: Floats
    reach: Floats
    p_value: Floats


def resample_scores(
    networks: Sequence[ScoreData],
    score: ScoreFunction,
    reference: Sequence[float] | None = None,
    *,
    logarithms: bool = False,
) -> ScoreResamples:
    """Resample the images and the times of several networks jointly.

    Images are drawn with replacement, the same for all networks. Only the gain over `reference` on each image varies,
    because the level of an image is common to all networks.

    Parameters
    ----------
    networks
        At least one, all measured on the same images.
    score
        Score of (PSNR, runtime).
    reference
        PSNR of the reference interpolation on each image, dB. The mean over the networks by default.
    logarithms
        Whether `score` returns natural logarithms of scores.
    """
    rng = np.random.default_rng(0)
    times = [network.times for network in networks]
    psnr = np.array([network.psnr for network in networks], dtype=np.float64)
    means = np.array([[network.mean_psnr] for network in networks])
    runtimes = np.array([[network.runtime_ms] for network in networks])
    # Images differ far more in level than networks do on one image. Gains cancel the level.
    gains = psnr - (psnr.mean(axis=0) if reference is None else np.asarray(reference))
    image_effects, time_effects = resampled_means(gains, rng), joint_log_times(times, rng)
    degrees = time_degrees(times)
    constant = np.ones((1, RESAMPLES))
    # A bootstrap of few values is too narrow; widened, its 95 % interval is that of Student's t.
    wide_images = image_effects * _widening(max(1, psnr.shape[1] - 1))
    wide_times = time_effects * _widening(float(np.median(degrees)))
    return ScoreResamples(
        observed=score(means, runtimes)[:, 0],
        # Not widened: the tests take the variances and use the degrees of freedom themselves.
        by_images=score(means + image_effects, runtimes * constant),
        by_times=score(means * constant, runtimes * np.exp(time_effects)),
        joint=score(means + wide_images, runtimes * np.exp(wide_times)),
        images=psnr.shape[1],
        time_degrees=degrees,
        logarithms=logarithms,
    )


def score_differences(resamples: ScoreResamples) -> list[ScoreDifference]:
    """Test every pair of networks and correct the p-values for the number of pairs by Holm's method.

    Positive scores are compared by their logarithms, because the uncertainty of a score that is a product is
    proportional to the score. Other scores are compared as they are.
    """
    tests = _test_pairs(resamples)
    pairs = list(combinations(range(len(resamples.observed)), 2))
    corrected = holm({pair: float(tests.p_value[pair]) for pair in pairs})
    observed = resamples.observed
    if resamples.logarithms:
        observed = np.exp(np.minimum(observed, LARGEST_LOG))
    return [ScoreDifference(pair, _difference(observed, tests, pair), corrected[pair]) for pair in pairs]


def resampled_means(values: Floats, rng: np.random.Generator) -> Floats:
    """Return resamples of the means of rows about 0, rows x resamples, with the same draw of columns for all rows."""
    columns = values.shape[1]
    # Each row of draws is one resample of the images.
    drawn = rng.integers(0, columns, size=(RESAMPLES, columns))
    # Weights of columns in place of drawn columns: one matrix product for all rows.
    weights = np.zeros((RESAMPLES, columns))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], drawn), 1 / columns)
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray(centred @ weights.T * unbiased(columns))


def _widening(degrees: float) -> float:
    """Return the ratio of the 95 % quantiles of Student's t and of the normal distribution."""
    return student_reach(degrees) / NORMAL_REACH


def _test_pairs(resamples: ScoreResamples) -> _PairTests:
    """Test all pairs against no difference.

    The variances by images and by times are added. Their degrees of freedom are combined by Satterthwaite's formula
    (Biometrics Bulletin 2, 1946).
    """
    scores = resamples.observed, resamples.by_images, resamples.by_times
    if resamples.logarithms:
        value, by_images, by_times = _pair_moments(*scores)
        return _tests(resamples, np.ones(value.shape, dtype=np.bool_), value, by_images, by_times)
    # A score that is 0 in some resample has no logarithm; pairs with such a score are compared as they are.
    positive = np.array([min(map(np.min, rows)) > 0 for rows in zip(*scores, strict=True)])
    # 1.0 takes the place of scores that are not used on this scale.
    logs = (np.log(np.where(positive.reshape(-1, *[1] * (s.ndim - 1)), s, 1.0)) for s in scores)
    logarithmic = positive[:, None] & positive[None, :]
    value, by_images, by_times = (
        np.where(logarithmic, *both) for both in zip(_pair_moments(*logs), _pair_moments(*scores), strict=True)
    )
    return _tests(resamples, logarithmic, value, by_images, by_times)


def _tests(
    resamples: ScoreResamples, logarithmic: NDArray[np.bool_], value: Floats, by_images: Floats, by_times: Floats
) -> _PairTests:
    variance = by_images + by_times
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = by_images**2 / max(1, resamples.images - 1) + by_times**2 / resamples.time_degrees
        degrees = np.where(parts > 0, variance**2 / parts, 1.0)
    return _against_t(logarithmic, value, np.sqrt(variance), degrees, enough=resamples.images > 1)


def _pair_moments(observed: Floats, by_images: Floats, by_times: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the differences of all pairs and their variances by images and by times."""
    return observed[:, None] - observed[None, :], _pair_variances(by_images), _pair_variances(by_times)


def _pair_variances(resamples: Floats) -> Floats:
    # Variance of a difference: both variances minus twice the covariance. np.cov returns a scalar for one network.
    covariance = np.atleast_2d(np.cov(resamples))
    variances = np.diag(covariance)
    # Rounding can make the variance of two copies negative.
    return np.asarray(np.maximum(0.0, variances[:, None] + variances[None, :] - 2 * covariance))


def _against_t(
    logarithmic: NDArray[np.bool_], value: Floats, spread: Floats, degrees: Floats, *, enough: bool
) -> _PairTests:
    """Test differences with standard error `spread` by Student's t; nothing differs if there are not `enough` data."""
    from scipy.special import stdtr, stdtrit

    size = np.abs(value)
    # No spread at all, such as of two copies: any difference beyond rounding is certain.
    exact = spread < NEGLIGIBLE * np.maximum(1.0, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = np.where(exact, np.where(size < NEGLIGIBLE, 1.0, 0.0), 2 * stdtr(degrees, -size / spread))
    reach = np.where(exact, 0.0, stdtrit(degrees, 1 - LEVEL / 2) * spread)
    if not enough:
        p_value, reach = np.ones_like(value), np.where(size < NEGLIGIBLE, 0.0, np.inf)
    return _PairTests(logarithmic, value, reach, p_value)


def _difference(observed: Floats, tests: _PairTests, pair: tuple[int, int]) -> Difference:
    """Return the difference of two scores with an interval that excludes 0 if and only if the p-value is below 5 %.

    The interval of the logarithm of a ratio becomes one of the difference at the observed geometric mean.
    """
    value, reach = float(tests.value[pair]), float(tests.reach[pair])
    low, high = value - reach, value + reach
    if tests.logarithmic[pair] and math.isfinite(reach):
        # a - b = 2 sqrt(ab) sinh(log(a/b) / 2), with sqrt(ab) held at its observed value.
        scale = 2 * math.sqrt(observed[pair[0]]) * math.sqrt(observed[pair[1]])
        with np.errstate(over="ignore"):
            low, high = (float(scale * np.sinh(end / 2)) for end in (low, high))
    difference = float(observed[pair[0]] - observed[pair[1]])
    return Difference(difference, (low, high), float(tests.p_value[pair]))


def score_interval(
    network: tuple[float, float], runtime_ci: tuple[float, float], gains: Sequence[float], score: ScoreFunction
) -> tuple[float, float]:
    """Return the 95 % interval of a score from the interval of its time and from the images.

    Both ends are NaN where the score is undefined or infinite within the uncertainty of the figures.

    Parameters
    ----------
    network
        The PSNR (dB) and the runtime (ms) that are scored.
    runtime_ci
        95 % interval of the runtime, milliseconds.
    gains
        PSNR minus that of the reference interpolation on each image, dB, so that the level of an image cancels. With
        fewer than two, only the interval of the time counts. Images are drawn with replacement; the spread is widened
        to Student's t.
    score
        Score of (PSNR, runtime).
    """
    psnr, runtime_ms = network
    rng = np.random.default_rng(0)
    deviations = np.zeros(RESAMPLES)
    if len(gains) > 1:
        deviations = resampled_means(np.array([gains], dtype=np.float64), rng)[0] * _widening(len(gains) - 1)
    # The interval of a noisy time may reach 0, which has no logarithm.
    low, high = (max(end, runtime_ms * _SHORTEST_SHARE) for end in runtime_ci)
    # The time is taken as log-normal, with the standard deviation that its interval implies.
    times = runtime_ms * np.exp(rng.normal(0, math.log(high / low) / (2 * NORMAL_REACH), RESAMPLES))
    drawn = score((psnr + deviations)[None, :], times[None, :])
    if not np.isfinite(drawn).all():
        return math.nan, math.nan
    ends = np.percentile(drawn, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    observed = float(score(np.array([[psnr]]), np.array([[runtime_ms]]))[0, 0])
    # The score itself is in its interval, also where the formula is skewed.
    return min(observed, float(ends[0])), max(observed, float(ends[1]))
