"""A network's times as comparisons take them: rounds within processes, and what processes of one network differ by.

Two processes of one network are not equally fast, each for as long as it lives, and no round shows it. So a network is
timed in several of them, one after the other: its time is the mean of the middle ones, and how far they differ, seen
over all networks of a run, says how well that is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.results.schema import ProcessSpreadInfo

Floats = NDArray[np.float64]

RESAMPLES = 1000
_FEW = 6  # times of which resampling says nothing
_MANY = 1000  # degrees of freedom of a spread that is assumed and not estimated from few
_ASSUMED_OF_CALLS = 0.1  # of one call on its own, relative: what back-to-back calls were seen to differ by
_QUARTILE = 0.67449  # of a normal distribution, in standard deviations
_FEWEST_DEGREES = 2
_PRIOR = 0.01  # what processes were seen to differ by on bound cores of a calm machine (``docs/timing.md``)
_PRIOR_DEGREES = 3  # that this counts for beside what a run shows
_MOSTLY_COMMON = 1.5  # times the spread beside others: most of what a process adds it adds to all networks
_STEPS = (1, 2, 3)  # how far apart two networks are that are compared for the spread: all pairs of 50 take long
_NO_NOISE = 1e-12  # in place of 0, where times without any scatter are scripted


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
        """Return what to reckon with: this estimate, or more where it is less than is expected of any machine.

        An estimate from few processes may come out near 0 by chance, and then anything seems to differ. Its square is
        averaged with that of the expected spread by their degrees of freedom, as is done with variances of genes of
        which each was measured a few times (Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004).
        A larger one stands as it is, because machines are not all calm; and the degrees stay those of the estimate.
        """
        if self.relative >= _PRIOR:
            return self
        square = self.degrees * self.relative**2 + _PRIOR_DEGREES * _PRIOR**2
        return Spread(math.sqrt(square / (self.degrees + _PRIOR_DEGREES)), self.degrees)


@dataclass(frozen=True, slots=True)
class ProcessSpread:
    """What processes that run the same network differ by.

    Attributes
    ----------
    own
        In their time in anchors. What hits all networks alike while one process of each lives, and the anchor less or
        more, is in it.
    paired
        Beside the processes of other networks in the same rounds, where that drops out.
    """

    own: Spread
    paired: Spread


ASSUMED_SPREAD = ProcessSpread(Spread(_PRIOR, _MANY), Spread(_PRIOR, _MANY))
"""Where every network had one process only."""


@dataclass(frozen=True, slots=True)
class RelativeTimes:
    """A network's times, in the order in which they were taken.

    Attributes
    ----------
    times
        By round, in any unit; rounds of networks with the same ``session`` belong together.
    session
        The joint timing; empty where the network was timed alone.
    processes
        Which process each round was timed in; a round that is not in it was in the first.
    spread
        What processes of one network were seen to differ by.
    anchor
        Which process of the anchor the times are in; empty where they are in milliseconds.
    """

    times: Mapping[int, float]
    session: str = ""
    processes: Mapping[int, int] = field(default_factory=dict)
    spread: ProcessSpread = ASSUMED_SPREAD
    anchor: str = ""

    @property
    def own(self) -> Spread:
        """What to allow for processes in the network's time in anchors."""
        return self.spread.own.moderated()

    @property
    def paired(self) -> Spread:
        """What to allow for processes in comparisons with networks of the same rounds."""
        return self.spread.paired.moderated()


def spread_info(spread: ProcessSpread) -> ProcessSpreadInfo | None:
    """Return a spread as ``results.json`` has it: None where it is assumed."""
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
    """Return the spread that a ``results.json`` has, or the assumed one."""
    if info is None:
        return ASSUMED_SPREAD
    paired = ASSUMED_SPREAD.paired
    if info.paired_relative is not None and info.paired_degrees is not None:
        paired = Spread(info.paired_relative, info.paired_degrees)
    return ProcessSpread(Spread(info.relative, info.degrees), paired)


def log_times(pace: RelativeTimes) -> list[Floats]:
    """Return the logarithms of a network's times, process by process."""
    return _by_process(pace, {number: math.log(time) for number, time in pace.times.items()})


def log_ratios(one: RelativeTimes, other: RelativeTimes) -> list[Floats]:
    """Return the logarithms of the ratios of two networks' times, round by round, process by process.

    Empty where they were not timed in the same rounds.
    """
    if not one.session or one.session != other.session:
        return []
    common = sorted(one.times.keys() & other.times.keys())
    return _by_process(one, {number: math.log(one.times[number] / other.times[number]) for number in common})


def share_all(one: RelativeTimes, other: RelativeTimes) -> bool:
    """Tell whether two networks took turns in all processes of both, so that their ratio rests on nothing else."""
    common = one.times.keys() & other.times.keys()
    return all(
        {pace.processes.get(number, 0) for number in common} == {pace.processes.get(number, 0) for number in pace.times}
        for pace in (one, other)
    )


def _by_process(pace: RelativeTimes, values: Mapping[int, float]) -> list[Floats]:
    groups: dict[int, list[float]] = {}
    for number, value in values.items():
        groups.setdefault(pace.processes.get(number, 0), []).append(value)
    return [np.array(group) for _, group in sorted(groups.items())]


def centre(groups: Sequence[Floats]) -> float:
    """Return the mean of the middle ones of the medians of processes: one that is far off does not count."""
    return float(_middle(np.array([np.median(group) for group in groups])))


def _middle(medians: Floats) -> Floats:
    """Return means along the first axis without a quarter of the values, one at the least, at either end."""
    count = len(medians)
    outer = max(1, count // 4) if count > 2 else 0
    return np.asarray(np.sort(medians, axis=0)[outer : count - outer].mean(axis=0))


def is_enough(groups: Sequence[Floats]) -> bool:
    """Tell whether there are so many rounds that their own scatter says how well the medians are known."""
    return sum(group.size for group in groups) - len(groups) >= _FEW - 1


def resampled_centres(groups: Sequence[Floats], spread: float, rng: np.random.Generator) -> Floats:
    """Return resamples of :func:`centre` about 0: of rounds within processes, and of processes.

    Parameters
    ----------
    groups
        Logarithms, process by process.
    spread
        Standard deviation of what processes differ by.
    rng
        Draws.
    """
    medians = _resampled_medians(groups, rng)
    return _middle(medians + rng.normal(0, spread, medians.shape))


def _resampled_medians(groups: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """Return resampled medians about 0, processes x resamples.

    Rounds are alike but for what their process adds, so that all processes' deviations from their medians are drawn
    from together. Of few, what calls were seen to scatter by stands in.
    """
    sizes = [group.size for group in groups]
    if not is_enough(groups):
        return np.array([rng.normal(0, _ASSUMED_OF_CALLS / math.sqrt(size), RESAMPLES) for size in sizes])
    count = sum(sizes)
    deviations = np.concatenate([group - np.median(group) for group in groups])
    deviations *= math.sqrt((count - 1) / (count - len(groups)))  # what the medians have taken
    return np.array([np.median(block_resamples(deviations, size, rng), axis=1) for size in sizes])


def block_resamples(values: Floats, size: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Resample blocks of neighbours, because neighbouring times are alike (Künsch, Annals of Statistics 17, 1989).

    Parameters
    ----------
    values
        In the order in which they were taken.
    size
        How many are drawn for each resample.
    rng
        Draws where blocks begin.
    resamples
        How many.

    Returns
    -------
    Array
        resamples x size.
    """
    block = max(1, round(size ** (1 / 3)))
    starts = rng.integers(0, values.size - block + 1, size=(resamples, -(-size // block)))
    return values[(starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :size]]


def estimate_spread(paces: Iterable[RelativeTimes]) -> ProcessSpread:
    """Estimate from a run's networks what processes of one network differ by.

    Every two processes of a network differ by what processes differ by and by what their rounds leave open. The
    estimate is the spread with which half of all these differences are within the quartiles of a normal
    distribution, so that a few processes that are far off do not make it large for all.

    Parameters
    ----------
    paces
        Of all networks of a run; those that had one process only say nothing.

    Returns
    -------
    ProcessSpread
        What is assumed stands in where the networks had hardly a second process, or none was timed beside another.
    """
    by_process = [(pace, log_times(pace)) for pace in paces]
    several = [(pace, groups) for pace, groups in by_process if len(groups) > 1 and is_enough(groups)]
    several.sort(key=lambda one: (one[0].session, min(one[0].times)))  # those that began together are neighbours
    apart = [
        [log_ratios(one, other) for (one, _), (other, _) in zip(several, several[n:], strict=False)] for n in _STEPS
    ]
    beside = [groups for pairs in apart for groups in pairs if len(groups) > 1 and is_enough(groups)]
    more: dict[str, int] = {}  # processes than one, in each joint timing
    for pace, groups in several:
        more[pace.session] = max(more.get(pace.session, 0), len(groups) - 1)
    of_one, common = sum(len(groups) - 1 for _, groups in several), sum(more.values())
    # The first in a row each with its successor say all; other pairs are differences of these.
    paired = _estimate(beside, sum(max(0, len(groups) - 1) for groups in apart[0]))
    if paired is not None:
        paired = Spread(paired.relative / math.sqrt(2), paired.degrees)
    own = _estimate([groups for _, groups in several], of_one)
    if own is not None and paired is not None and own.relative > _MOSTLY_COMMON * paired.relative:
        own = Spread(own.relative, common)  # what hits all alike was seen once in each process, not in each network
    return ProcessSpread(own or ASSUMED_SPREAD.own, paired or ASSUMED_SPREAD.paired)


def _estimate(networks: Sequence[Sequence[Floats]], degrees: int) -> Spread | None:
    """Return what the processes of several networks, or of pairs of networks, differ by; None where few tell."""
    if degrees < _FEWEST_DEGREES or not networks:
        return None
    rng = np.random.default_rng(0)
    differences, noises = [], []
    for groups in networks:
        medians = [float(np.median(group)) for group in groups]
        errors = _resampled_medians(groups, rng).std(axis=1)
        for one, other in combinations(range(len(groups)), 2):
            differences.append(abs(medians[one] - medians[other]))
            noises.append(math.hypot(errors[one], errors[other]))
    return Spread(_spread_beyond(np.array(differences), np.array(noises)), degrees)


def _spread_beyond(differences: Floats, noises: Floats) -> float:
    """Return the spread of processes that, beside the noise of their rounds, explains the differences of pairs."""
    from scipy.optimize import brentq  # half a second, which no worker needs to spend

    def excess(spread: float) -> float:
        expected = np.sqrt(2 * spread**2 + noises**2 + _NO_NOISE)
        return float(np.median(differences / expected)) - _QUARTILE

    return float(brentq(excess, 0.0, 2 * differences.max())) if excess(0.0) > 0 else 0.0
