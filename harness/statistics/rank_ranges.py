"""Which ranks the measurements leave possible for each network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.statistics.inference import LEVEL
from harness.statistics.process_spread import Floats
from harness.statistics.score_difference import ScoreDifference, ScoreResamples


def rank_ranges(
    resamples: ScoreResamples, differences: Sequence[ScoreDifference], *, higher_is_better: bool = True
) -> list[tuple[int, int]]:
    """Return the best and the worst rank of each network that the measurements do not exclude, 95 % confidence.

    The range consists of the ranks that the network takes in the central 95 % of joint resamplings and of the ranks
    that the tests of pairs leave possible: from one more than the number of networks that are significantly better to
    the number of those that are not significantly worse. The latter ranges contain all true ranks at once with 95 %
    probability, because the p-values are corrected for the number of pairs (Mogstad, Romano, Shaikh and Wilhelm, Review
    of Economic Studies 91, 2024). Resampling alone does not achieve that if scores are nearly equal (Hall and Miller,
    Annals of Statistics 37, 2009). A network that is tied with no other therefore keeps its rank, and the range of a
    network that is tied contains the ranks of those that it is tied with only if they may exchange places.

    Parameters
    ----------
    resamples
        Scores of the networks under joint resampling.
    differences
        The tested pairs, see :func:`harness.statistics.score_difference.score_differences`.
    higher_is_better
        The direction of the score.
    """
    sign = 1.0 if higher_is_better else -1.0
    count = len(resamples.observed)
    better, worse = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for one in differences:
        if one.significant:
            # By what was resampled: scores beyond float64 are equal as numbers, their logarithms are not.
            gap = resamples.observed[one.pair[0]] - resamples.observed[one.pair[1]]
            first, second = one.pair if sign * gap > 0 else one.pair[::-1]
            better[second] += 1
            worse[first] += 1
    drawn = ranks(sign * resamples.joint)
    # Ranks are whole numbers, so percentiles are not interpolated.
    low, high = np.percentile(drawn, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)], axis=1, method="nearest")
    best, worst = np.minimum(1 + better, low), np.maximum(count - worse, high)
    return [(int(first), int(last)) for first, last in zip(best, worst, strict=True)]


def ranks(scores: Floats) -> Floats:
    """Return the rank of each row in each column, 1 for the highest; equal scores share the best of their ranks."""
    from scipy.stats import rankdata  # imported here: it takes half a second

    return np.asarray(rankdata(-scores, method="min", axis=0), dtype=np.float64)
