"""From raw samples to a runtime with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.results.schema import Runtime
from harness.timing.protocol import Statistic

_RESAMPLES = 2000
_STABLE_HALF_WIDTH = 0.02
_STABLE_SAMPLES = 10


def summarise(samples_ms: Sequence[float], statistic: Statistic, *, note: str | None = None) -> Runtime:
    """Summarise the samples of one network.

    The interval is a percentile bootstrap over blocks of neighbouring samples, because the times of back-to-back
    calls are correlated (Künsch, Annals of Statistics 17, 1989). Its seed is fixed: same samples, same interval.

    Parameters
    ----------
    samples_ms
        Milliseconds, in the order in which they were taken.
    statistic
        Which one the interval is for: that which the score uses.
    note
        What a reader must know about the samples.

    Returns
    -------
    Runtime
        ``stable`` is False below ten samples or where the interval is wider than 2 % to either side.

    Raises
    ------
    ValueError
        There is no sample.
    """
    values = np.asarray(samples_ms, dtype=np.float64)
    if values.size == 0:
        raise ValueError("there is no sample to summarise")
    low, high = bootstrap_interval(values, statistic)
    centre = _statistic(values, statistic)
    stable = values.size >= _STABLE_SAMPLES and (high - low) / 2 <= _STABLE_HALF_WIDTH * centre
    return Runtime(
        median=float(np.median(values)),
        mean=float(values.mean()),
        ci=(low, high),
        p95=float(np.percentile(values, 95)),
        samples=int(values.size),
        stable=stable,
        note=note,
    )


def bootstrap_interval(values: NDArray[np.float64], statistic: Statistic) -> tuple[float, float]:
    """Return the 95 % moving-block bootstrap interval of the mean or the median of `values`."""
    n = values.size
    block = max(1, round(n ** (1 / 3)))
    starts = np.random.default_rng(0).integers(0, n - block + 1, size=(_RESAMPLES, -(-n // block)))
    resamples = values[(starts[:, :, None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :n]]
    estimates = np.median(resamples, axis=1) if statistic == "median" else resamples.mean(axis=1)
    low, high = np.percentile(estimates, [2.5, 97.5])
    return float(low), float(high)


def _statistic(values: NDArray[np.float64], statistic: Statistic) -> float:
    return float(np.median(values) if statistic == "median" else values.mean())
