"""Which networks are timed well enough before their last process, because their times are far from all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.statistics.inference import log_interval, student_reach
from harness.statistics.process_spread import (
    ASSUMED_SPREAD,
    RelativeTimes,
    estimate_spread,
    has_enough_rounds,
    log_times,
    midmean_of_medians,
    resampled_medians,
)

_FEWEST_PROCESSES = 2  # one process may be an outlier
_FEWEST_DEGREES = 3  # of freedom of the spread between processes
_AGREEMENT = 2.0  # standard errors of the difference of two processes, which one network in twenty exceeds
# Times are far apart if their 95 % intervals would not meet at twice their width.
_CLEARANCE = 2.0


@dataclass(frozen=True, slots=True)
class _Level:
    """Logarithm of a network's time, half of its 95 % interval, and that of the anchor that it is relative to."""

    value: float
    reach: float
    anchor: str
    anchor_reach: float


def settled(
    networks: Sequence[RelativeTimes], known: Sequence[RelativeTimes] = (), unranked: Sequence[RelativeTimes] = ()
) -> list[bool]:
    """Return which networks need no further process to be told from all others.

    Two processes are enough if they agree and no other network's time is near: the mean of two is nearly as precise as
    the middle of three, which is robust against one process that is slower for as long as it lives. The processes that
    are left then go to networks that are close to one another. Two equal networks are declared settled only if their
    times differ by about five standard errors. No network is, if too few processes tell what two of them differ by.

    Parameters
    ----------
    networks
        Networks of one session after the same number of processes.
    known
        Networks that were timed before, in rounds.
    unranked
        Networks of the session, or timed before, whose times need not be told from any other. They show what
        processes differ by.
    """
    # From all that is known; the networks come with the spread that is assumed before anything is measured.
    spread = estimate_spread([*networks, *known, *unranked])
    if spread.own == ASSUMED_SPREAD.own or spread.own.degrees < _FEWEST_DEGREES:
        return [False] * len(networks)
    every = [replace(network, spread=spread) for network in (*networks, *known)]
    levels = [_level_of(network) for network in every]
    return [
        _agrees(network) and all(_are_apart(levels[at], other) for other in (*levels[:at], *levels[at + 1 :]))
        for at, network in enumerate(every[: len(networks)])
    ]


def _level_of(network: RelativeTimes) -> _Level:
    low, high = log_interval(network)
    # What two processes of the anchor differ by, if two networks are not relative to the same one.
    anchor_reach = student_reach(network.own.degrees) * network.own.relative
    return _Level(midmean_of_medians(log_times(network)), (high - low) / 2, network.anchor, anchor_reach)


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
    if one.anchor != other.anchor:
        reach += one.anchor_reach + other.anchor_reach
    return math.isfinite(reach) and abs(one.value - other.value) > _CLEARANCE * reach
