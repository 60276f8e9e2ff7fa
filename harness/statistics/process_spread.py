"""The times of a network by round and process, and the standard deviation between processes of the same network.

Two processes that run the same network are not equally fast. The difference lasts as long as the processes, so the
rounds of one process do not show it. Each network is therefore timed in several processes, one after the other. Its
time is the midmean of the processes' medians, and the differences between processes, taken over all networks of a run,
give the uncertainty of that time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.results.run_info import ProcessSpreadInfo

Floats = NDArray[np.float64]

RESAMPLES = 1000
_FEWEST_ROUNDS = 6  # resampling fewer does not estimate their scatter
_ASSUMED_DEGREES = 1000  # degrees of freedom of a standard deviation that is assumed, not estimated
_ASSUMED_CALL_SPREAD = 0.1  # relative standard deviation of one call, observed for back-to-back calls
_QUARTILE = 0.67449  # of a normal distribution, in standard deviations
_FEWEST_DEGREES = 2
_PRIOR = 0.01  # relative spread of processes observed on bound cores of an idle machine (``docs/timing.md``)
_PRIOR_DEGREES = 3  # weight of the prior in degrees of freedom
_MOSTLY_COMMON = 1.5  # ratio of the two spreads above which most of the process effect is common to all networks
_STEPS = (1, 2, 3)  # distances in the list of networks of the pairs that estimate the spread: all pairs of 50 are slow
_NO_NOISE = 1e-12  # replaces a variance of 0 in scripted times without scatter


@dataclass(frozen=True, slots=True)
class Spread:
    """A standard deviation.

    Attributes
    ----------
    relative
        As a fraction.
    degrees
        Of freedom with which it was estimated.
    """

    relative: float
    degrees: int

    def moderated(self) -> Spread:
        """Return the estimate moderated by a prior of 1 %, so that it is not too small by chance.

        An estimate from few processes may be close to 0 by chance, and then every difference is significant. Its square
        is averaged with the square of the prior, weighted by degrees of freedom (Smyth, Statistical Applications in
        Genetics and Molecular Biology 3, 2004). An estimate above the prior is returned unchanged, because not every
        machine is idle. The degrees of freedom remain those of the estimate.
        """
        if self.relative >= _PRIOR:
            return self
        square = self.degrees * self.relative**2 + _PRIOR_DEGREES * _PRIOR**2
        return Spread(math.sqrt(square / (self.degrees + _PRIOR_DEGREES)), self.degrees)


@dataclass(frozen=True, slots=True)
class ProcessSpread:
    """Standard deviation between processes that run the same network.

    Attributes
    ----------
    own
        Of the time relative to the anchor. It includes effects that are common to all networks that run side by side
        and differ from those on the anchor.
    paired
        Relative to processes of other networks in the same rounds; common effects cancel.
    """

    own: Spread
    paired: Spread


ASSUMED_SPREAD = ProcessSpread(Spread(_PRIOR, _ASSUMED_DEGREES), Spread(_PRIOR, _ASSUMED_DEGREES))
"""Assumed if every network had one process only."""


@dataclass(frozen=True, slots=True)
class RelativeTimes:
    """Times of a network, relative to the anchor or in milliseconds, in the order in which they were taken.

    Attributes
    ----------
    times
        By round, in any unit; rounds of networks with the same ``session`` belong together.
    session
        The joint timing; empty where the network was timed alone.
    processes
        Index of the process by round; 0 for rounds that it does not contain.
    spread
        Standard deviation between processes of one network in the run.
    anchor
        Name of the anchor's process that the times are relative to; empty if they are in milliseconds.
    """

    times: Mapping[int, float]
    session: str = ""
    processes: Mapping[int, int] = field(default_factory=dict)
    spread: ProcessSpread = ASSUMED_SPREAD
    anchor: str = ""

    @property
    def own(self) -> Spread:
        """Moderated standard deviation between processes, of the time relative to the anchor."""
        return self.spread.own.moderated()

    @property
    def paired(self) -> Spread:
        """Moderated standard deviation between processes, in comparisons with networks of the same rounds."""
        return self.spread.paired.moderated()


def spread_info(spread: ProcessSpread) -> ProcessSpreadInfo | None:
    """Return a spread as ``results.json`` stores it: None if it is assumed."""
    if spread == ASSUMED_SPREAD:
        return None
    own, paired = spread.own, None if spread.paired == ASSUMED_SPREAD.paired else spread.paired
    return ProcessSpreadInfo(
        relative=own.relative,
        degrees=own.degrees,
        paired_relative=paired and paired.relative,
        paired_degrees=paired and paired.degrees,
    )


def spread_of(info: ProcessSpreadInfo | None) -> ProcessSpread:
    """Return the spread that ``results.json`` stores, or the assumed one."""
    if info is None:
        return ASSUMED_SPREAD
    paired = ASSUMED_SPREAD.paired
    if info.paired_relative is not None and info.paired_degrees is not None:
        paired = Spread(info.paired_relative, info.paired_degrees)
    return ProcessSpread(Spread(info.relative, info.degrees), paired)


def log_times(network: RelativeTimes) -> list[Floats]:
    """Return the logarithms of a network's times, one array per process."""
    return _by_process(network, {number: math.log(time) for number, time in network.times.items()})


def log_ratios(one: RelativeTimes, other: RelativeTimes) -> list[Floats]:
    """Return the logarithms of the ratios of two networks' times by round, one array per process.

    Empty if they were not timed in the same rounds.
    """
    if not one.session or one.session != other.session:
        return []
    common = sorted(one.times.keys() & other.times.keys())
    return _by_process(one, {number: math.log(one.times[number] / other.times[number]) for number in common})


def share_all(one: RelativeTimes, other: RelativeTimes) -> bool:
    """Return whether every process of either network has rounds in common with the other network."""
    common = one.times.keys() & other.times.keys()
    return all(
        {network.processes.get(number, 0) for number in common}
        == {network.processes.get(number, 0) for number in network.times}
        for network in (one, other)
    )


def _by_process(network: RelativeTimes, values: Mapping[int, float]) -> list[Floats]:
    groups: dict[int, list[float]] = {}
    for number, value in values.items():
        groups.setdefault(network.processes.get(number, 0), []).append(value)
    return [np.array(group) for _, group in sorted(groups.items())]


def midmean_of_medians(groups: Sequence[Floats]) -> float:
    """Return the midmean of the processes' medians, which a single outlying process does not change much."""
    return float(midmean(np.array([np.median(group) for group in groups])))


def midmean(medians: Floats) -> Floats:
    """Return the mean along the first axis without the lowest and the highest quarter, at least one value each."""
    count = len(medians)
    # Of two values there is no middle: both count.
    # Of three values the middle one is left.
    outer = max(1, count // 4) if count > 2 else 0
    return np.asarray(np.sort(medians, axis=0)[outer : count - outer].mean(axis=0))


def has_enough_rounds(groups: Sequence[Floats]) -> bool:
    """Return whether there are enough rounds to estimate the uncertainty of the medians from their scatter."""
    # The median of each process takes one degree of freedom.
    return sum(group.size for group in groups) - len(groups) >= _FEWEST_ROUNDS - 1


def resampled_midmeans(groups: Sequence[Floats], spread: float, rng: np.random.Generator) -> Floats:
    """Return resamples of :func:`midmean_of_medians` about 0, over rounds within processes and over processes.

    Parameters
    ----------
    groups
        Logarithms, one array per process.
    spread
        Standard deviation between processes.
    rng
        Source of the draws.
    """
    medians = resampled_medians(groups, rng)
    return midmean(medians + rng.normal(0, spread, medians.shape))


def resampled_medians(groups: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """Return resampled medians about 0, processes x resamples.

    Deviations from the medians are pooled over processes, because processes differ in their level only. If there are
    too few rounds, the scatter of calls is assumed.
    """
    sizes = [group.size for group in groups]
    if not has_enough_rounds(groups):
        return np.array([rng.normal(0, _ASSUMED_CALL_SPREAD / math.sqrt(size), RESAMPLES) for size in sizes])
    deviations = pooled_deviations(groups)
    return np.array([np.median(block_resamples(deviations, size, rng), axis=1) for size in sizes])


def pooled_deviations(groups: Sequence[Floats]) -> Floats:
    """Return the deviations of all rounds from the median of their process, scaled up for the estimated medians."""
    count = sum(group.size for group in groups)
    deviations = np.concatenate([group - np.median(group) for group in groups])
    return np.asarray(deviations * math.sqrt((count - 1) / (count - len(groups))))


def block_resamples(values: Floats, size: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Resample blocks of neighbours, because neighbouring times are correlated (Künsch, Annals of Statistics 17, 1989).

    Parameters
    ----------
    values
        In the order in which they were taken.
    size
        Values per resample.
    rng
        Source of the draws.
    resamples
        Number of resamples.

    Returns
    -------
    Array
        resamples x size.
    """
    block = block_length(size)
    starts = rng.integers(0, values.size - block + 1, size=(resamples, -(-size // block)))
    return np.asarray(values[(starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :size]])


def block_length(size: int) -> int:
    """Return the length of the blocks for a number of values; the optimum for a variance grows with its cube root."""
    return max(1, round(math.cbrt(size)))


def estimate_spread(networks: Iterable[RelativeTimes]) -> ProcessSpread:
    """Estimate the standard deviation between processes of one network.

    The difference of two processes' medians has two sources: the spread between processes and the noise of the rounds.
    The estimate is the spread for which half of all differences lie within the quartiles of a normal distribution. It
    is robust against a few outlying processes.

    Parameters
    ----------
    networks
        All networks of a run. Those with one process carry no information.

    Returns
    -------
    ProcessSpread
        The assumed values if there are too few processes, or no two networks in the same rounds.
    """
    by_process = [(network, log_times(network)) for network in networks]
    several = [(network, groups) for network, groups in by_process if len(groups) > 1 and has_enough_rounds(groups)]
    several.sort(key=lambda one: (one[0].session, min(one[0].times)))  # networks of the same rounds become neighbours
    ratios = [
        [log_ratios(one, other) for (one, _), (other, _) in zip(several, several[n:], strict=False)] for n in _STEPS
    ]
    pairs = [groups for step in ratios for groups in step if len(groups) > 1 and has_enough_rounds(groups)]
    additional: dict[str, int] = {}  # processes beyond the first, by session
    for network, groups in several:
        additional[network.session] = max(additional.get(network.session, 0), len(groups) - 1)
    own_degrees, common_degrees = sum(len(groups) - 1 for _, groups in several), sum(additional.values())
    # Ratios of neighbours contain all the information; those of other pairs are differences of these.
    paired = _estimate(pairs, sum(max(0, len(groups) - 1) for groups in ratios[0]))
    if paired is not None:
        # The ratio of two networks has the effects of two processes, so its variance is twice that of one.
        paired = Spread(paired.relative / math.sqrt(2), paired.degrees)
    own = _estimate([groups for _, groups in several], own_degrees)
    if own is not None and paired is not None and own.relative > _MOSTLY_COMMON * paired.relative:
        # An effect that is common to all networks was observed once per process, not once per network.
        own = Spread(own.relative, common_degrees)
    return ProcessSpread(own or ASSUMED_SPREAD.own, paired or ASSUMED_SPREAD.paired)


def _estimate(networks: Sequence[Sequence[Floats]], degrees: int) -> Spread | None:
    """Return the spread between processes of networks or of pairs of networks, None with too few degrees."""
    if degrees < _FEWEST_DEGREES or not networks:
        return None
    rng = np.random.default_rng(0)
    differences, noises = [], []
    for groups in networks:
        medians = [float(np.median(group)) for group in groups]
        errors = resampled_medians(groups, rng).std(axis=1)
        for one, other in combinations(range(len(groups)), 2):
            differences.append(abs(medians[one] - medians[other]))
            noises.append(math.hypot(errors[one], errors[other]))
    return Spread(_spread_beyond(np.array(differences), np.array(noises)), degrees)


def _spread_beyond(differences: Floats, noises: Floats) -> float:
    """Return the spread between processes that, with the noise of their rounds, explains the differences of pairs."""
    from scipy.optimize import brentq  # imported here: it takes half a second

    def excess(spread: float) -> float:
        # Two processes differ by two effects and by the noise of both medians.
        expected = np.sqrt(2 * spread**2 + noises**2 + _NO_NOISE)
        # Half of the absolute values of a normal variable are below its quartile.
        return float(np.median(differences / expected)) - _QUARTILE

    # At twice the largest difference all ratios are below 0.36, so the excess is negative and a root exists.
    return float(brentq(excess, 0.0, 2 * differences.max())) if excess(0.0) > 0 else 0.0
