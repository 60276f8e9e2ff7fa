"""Joint resamples of the times of several networks.

Networks of one session take turns in the same rounds. What such networks share in a round or in a process drops out of
their differences only if it is drawn for all of them together, which is done here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.statistics.process_spread import (
    RESAMPLES,
    Floats,
    RelativeTimes,
    block_length,
    has_enough_rounds,
    log_times,
    midmean,
    pooled_deviations,
    resampled_medians,
    share_all,
)

Integers = NDArray[np.int64]

_UNLIMITED = 10**6  # degrees of freedom


@dataclass(frozen=True, slots=True)
class _Draws:
    """The rounds that are drawn for one process of every network of a session.

    Attributes
    ----------
    positions
        resamples x rounds: indices into the rounds of the session.
    substitutes
        resamples x rounds: non-negative integers. A network that has no turn in a drawn round takes that one of its own
        rounds, modulo their number.
    """

    positions: Integers
    substitutes: Integers


def joint_log_times(networks: Sequence[RelativeTimes], rng: np.random.Generator) -> Floats:
    """Resample the logarithms of the times of several networks about 0.

    Rounds are resampled in blocks of neighbours, with the same draw for all networks of a session. The differences
    between processes are drawn as well: a part that all processes of a session have in common while they run side by
    side, and a part of each process.

    Parameters
    ----------
    networks
        Times of the networks. Those with an empty ``session`` are resampled independently.
    rng
        Source of the draws.

    Returns
    -------
    Array
        networks x resamples.
    """
    sessions: dict[str, list[int]] = {}
    for index, network in enumerate(networks):
        sessions.setdefault(network.session or f"alone {index}", []).append(index)
    resamples = np.zeros((len(networks), RESAMPLES))
    for members in sessions.values():
        resamples[members] = _session_resamples([networks[index] for index in members], rng)
    return resamples - _anchor_effects(networks, rng)


def time_degrees(networks: Sequence[RelativeTimes]) -> Integers:
    """Return the degrees of freedom of the difference of each pair of networks' times, networks x networks.

    It is the smallest of those of the spread between processes and of the rounds of either network, at least 1.
    Networks with too few rounds to estimate their scatter do not count: an assumed scatter stands in.
    """
    degrees = np.zeros((len(networks), len(networks)), dtype=np.int64)
    rounds = [len(one.times) - 1 if has_enough_rounds(log_times(one)) else _UNLIMITED for one in networks]
    for i, one in enumerate(networks):
        for j, other in enumerate(networks[i:], start=i):
            paired = bool(one.session) and one.session == other.session and share_all(one, other)
            processes = one.paired.degrees if paired else min(one.own.degrees, other.own.degrees)
            degrees[i, j] = degrees[j, i] = max(1, min(processes, rounds[i], rounds[j]))
    return degrees


def _session_resamples(networks: Sequence[RelativeTimes], rng: np.random.Generator) -> Floats:
    """Return resamples of networks that took turns in the same rounds, networks x resamples."""
    rounds = sorted({number for network in networks for number in network.times})
    epochs = {
        number: max(network.processes.get(number, 0) for network in networks if number in network.times)
        for number in rounds
    }
    longest: dict[int, int] = {}  # number of rounds of the longest process, by epoch
    for network in networks:
        for numbers in _rounds_by_process(network):
            epoch = epochs[numbers[0]]
            longest[epoch] = max(longest.get(epoch, 0), len(numbers))
    draws = {epoch: _draw_rounds(len(rounds), size, rng) for epoch, size in sorted(longest.items())}
    common = {epoch: rng.normal(size=RESAMPLES) for epoch in sorted(longest)}
    return np.array([_network_resamples(network, rounds, epochs, draws, common, rng) for network in networks])


def _draw_rounds(rounds: int, size: int, rng: np.random.Generator) -> _Draws:
    """Draw blocks of neighbouring rounds (Künsch, Annals of Statistics 17, 1989)."""
    block = block_length(size)
    # Ceiling division: the last block may be cut.
    blocks, offsets = -(-size // block), np.arange(block)
    starts = rng.integers(0, max(1, rounds - block + 1), size=(RESAMPLES, blocks, 1))
    substitutes = rng.integers(0, rounds * block, size=(RESAMPLES, blocks, 1))
    # If a block is longer than the session, its last round is repeated.
    positions = np.minimum(starts + offsets, rounds - 1).reshape(RESAMPLES, -1)
    return _Draws(positions[:, :size], (substitutes + offsets).reshape(RESAMPLES, -1)[:, :size])


def _network_resamples(
    network: RelativeTimes,
    rounds: Sequence[int],
    epochs: dict[int, int],
    draws: dict[int, _Draws],
    common: dict[int, Floats],
    rng: np.random.Generator,
) -> Floats:
    """Return the resamples of one network of a session."""
    groups, by_process = log_times(network), _rounds_by_process(network)
    if has_enough_rounds(groups):
        numbers = [number for process in by_process for number in process]
        own_index = {number: index for index, number in enumerate(numbers)}
        # -1 marks rounds in which this network had no turn.
        lookup = np.array([own_index.get(number, -1) for number in rounds])
        deviations = pooled_deviations(groups)
        medians = np.array(
            [_drawn_medians(deviations, lookup, draws[epochs[process[0]]], len(process)) for process in by_process]
        )
    else:
        medians = resampled_medians(groups, rng)
    common_spread, process_spread = _spreads(network)
    shared = np.array([common[epochs[process[0]]] for process in by_process])
    return midmean(medians + common_spread * shared + rng.normal(0, process_spread, medians.shape))


def _drawn_medians(deviations: Floats, lookup: Integers, draws: _Draws, size: int) -> Floats:
    """Return the median of each resample of one process with `size` rounds."""
    indices = lookup[draws.positions[:, :size]]
    if (lookup < 0).any():
        indices = np.where(indices < 0, draws.substitutes[:, :size] % deviations.size, indices)
    return np.asarray(np.median(deviations[indices], axis=1))


def _rounds_by_process(network: RelativeTimes) -> list[list[int]]:
    """Return the round numbers of each process, in the order of :func:`log_times`."""
    groups: dict[int, list[int]] = {}
    for number in network.times:
        groups.setdefault(network.processes.get(number, 0), []).append(number)
    return [numbers for _, numbers in sorted(groups.items())]


def _spreads(network: RelativeTimes) -> tuple[float, float]:
    """Return the standard deviations of what processes have in common side by side, and of one process alone."""
    own, paired = network.own.relative, network.paired.relative
    if not network.session:
        return 0.0, own
    # `own` contains what processes have in common and `paired` does not. As estimates, they may be in reverse order.
    return math.sqrt(max(0.0, own**2 - paired**2)), paired


def _anchor_effects(networks: Sequence[RelativeTimes], rng: np.random.Generator) -> Floats:
    """Return what the processes of the anchor add to the times that are relative to them, networks x resamples.

    Times relative to one process of the anchor are comparable without it.
    """
    names = [(network.anchor or network.session) for network in networks]
    effects = {name: rng.normal(size=RESAMPLES) for name in sorted(set(names))}
    # All times are relative to the same process of the anchor, so its effect cancels in all differences.
    if len(effects) < 2:
        return np.zeros((len(networks), RESAMPLES))
    return np.array(
        [
            network.own.relative * effects[name] if network.session else np.zeros(RESAMPLES)
            for name, network in zip(names, networks, strict=True)
        ]
    )
