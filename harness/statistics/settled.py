"""Which networks are timed well enough before their last process, because their times are far from all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.statistics.inference import log_interval
from harness.statistics.process_spread import (
    RelativeTimes,
    estimate_spread,
    has_enough_rounds,
    log_times,
    midmean_of_medians,
    resampled_medians,
)

_FEWEST_PROCESSES = 2  # one process may be an outlier
_AGREEMENT = 2.0  # standard errors of the difference of two processes, which one network in twenty exceeds
# Times are far apart if their 95 % intervals would not meet at twice their width.
_CLEARANCE = 2.0


@dataclass(frozen=True, slots=True)
class _Level:
    """Logarithm of a network's time, and half of its 95 % interval."""

    value: float
    reach: float


def settled(networks: Sequence[RelativeTimes], known: Sequence[RelativeTimes] = ()) -> list[bool]:
    """Return which networks need no further process to be told from all others.

    Two processes are enough if they agree and no other network's time is near: the mean of two is nearly as precise as
    the middle of three, which is robust against one process that is slower for as long as it lives. The processes that
    are left then go to networks that are close to one another. Two equal networks are declared settled only if their
    times differ by more than six standard errors.

    Parameters
    ----------
    networks
        Networks of one session after the same number of processes. Their ``spread`` is estimated here.
    known
        Networks that were timed before.
    """
    spread = estimate_spread(networks)
    own = [replace(network, spread=spread) for network in networks]
    levels = [_level_of(network) for network in own]
    others = [_level_of(network) for network in known if network.anchor]
    return [
        _agrees(network) and all(_are_apart(levels[at], other) for other in [*levels[:at], *levels[at + 1 :], *others])
        for at, network in enumerate(own)
    ]


def _level_of(network: RelativeTimes) -> _Level:
    low, high = log_interval(network)
    return _Level(midmean_of_medians(log_times(network)), (high - low) / 2)


def _agrees(network: RelativeTimes) -> bool:
    """Return whether the processes of a network are not further apart than processes usually are."""
    groups = log_times(network)
    if len(groups) < _FEWEST_PROCESSES or not has_enough_rounds(groups):
        return False
    errors = resampled_medians(groups, np.random.default_rng(0)).std(axis=1)
    # Of two processes, both the lasting effect and the error of the median.
    expected = math.hypot(math.sqrt(2) * network.own.relative, *np.sort(errors)[-2:])
    return float(np.ptp([np.median(group) for group in groups])) <= _AGREEMENT * expected


def _are_apart(one: _Level, other: _Level) -> bool:
    reach = one.reach + other.reach
    return math.isfinite(reach) and abs(one.value - other.value) > _CLEARANCE * reach
