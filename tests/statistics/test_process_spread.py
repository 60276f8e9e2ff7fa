"""What processes of one network differ by: found again in scripted times, and allowed for in comparisons."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.statistics.inference import log_interval, log_ratio
from harness.statistics.process_spread import (
    ASSUMED_SPREAD,
    ProcessSpread,
    RelativeTimes,
    Spread,
    estimate_spread,
    share_all,
    spread_info,
    spread_of,
)

ROUNDS = 10
NOISE = 0.02

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.normal(0, 0.02, shape)


def with_outliers(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """One process in thirty is 20 to 80 % slower for life, as seen on a virtual machine."""
    return normal(rng, shape) + np.where(rng.random(shape) < 1 / 30, rng.uniform(0.2, 0.6, shape), 0.0)


def networks(
    rng: np.random.Generator, count: int, processes: int, draw: Draw = normal, common: float = 0.0
) -> list[dict[int, float]]:
    """Return the times of equally fast networks by round; `common` is what all have in common in one process."""
    adds = draw(rng, (count, processes)) + rng.normal(0, common, processes)
    busy = rng.normal(0, NOISE, (processes, ROUNDS))  # hits all in a round
    noise = rng.normal(0, NOISE, (count, processes, ROUNDS))
    logs = adds[:, :, None] + busy + noise
    return [dict(enumerate(np.exp(one).ravel())) for one in logs]


def paces(times: list[dict[int, float]]) -> list[RelativeTimes]:
    """Give the times their processes, and the spread that is estimated from all of them."""
    several = [RelativeTimes(one, "s", {number: number // ROUNDS for number in one}) for one in times]
    spread = estimate_spread(several)
    return [RelativeTimes(one.times, one.session, one.processes, spread) for one in several]


@pytest.mark.parametrize("draw", [pytest.param(normal, marks=pytest.mark.nightly), with_outliers])
def test_the_spread_of_processes_is_found_beside_the_noise_of_rounds(draw: Draw) -> None:
    rng = np.random.default_rng(0)
    found = [paces(networks(rng, 12, 3, draw))[0].spread for _ in range(30)]
    assert np.median([spread.own.relative for spread in found]) == pytest.approx(0.02, rel=0.25)
    assert np.median([spread.paired.relative for spread in found]) == pytest.approx(0.02, rel=0.25)
    assert (found[0].own.degrees, found[0].paired.degrees) == (24, 22)


def test_what_hits_all_alike_is_no_difference_between_them() -> None:
    rng = np.random.default_rng(1)
    found = [paces(networks(rng, 8, 4, common=0.1))[0].spread for _ in range(20)]
    assert np.median([spread.own.relative for spread in found]) > 0.06
    assert np.median([spread.paired.relative for spread in found]) == pytest.approx(0.02, rel=0.3)


def test_rounds_alone_are_no_spread_of_processes() -> None:
    rng = np.random.default_rng(2)
    found = [paces(networks(rng, 8, 3, lambda _rng, shape: np.zeros(shape)))[0].spread for _ in range(20)]
    assert np.median([spread.paired.relative for spread in found]) < 0.005


@pytest.mark.parametrize(
    ("count", "processes"),
    [(3, 3), *(pytest.param(*one, marks=pytest.mark.nightly) for one in ((2, 3), (3, 8), (10, 3)))],
)
@pytest.mark.parametrize("draw", [normal, with_outliers])
def test_equal_networks_are_seldom_called_different(count: int, processes: int, draw: Draw) -> None:
    rng = np.random.default_rng(3)
    trials = 200
    false = 0
    for _ in range(trials):
        one, other, *_ = paces(networks(rng, count, processes, draw))
        false += log_ratio(one, other).p_value < 0.05
    assert false <= 18  # 5 % of 200, and what 200 trials leave open


def test_a_difference_of_a_tenth_is_found_although_one_process_in_thirty_is_far_off() -> None:
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(50):
        times = networks(rng, 10, 3, with_outliers)
        times[0] = {number: 1.1 * ms for number, ms in times[0].items()}
        one, other, *_ = paces(times)
        found += log_ratio(one, other).p_value < 0.05
    assert found >= 42


def test_the_interval_of_a_network_holds_its_time_in_most_trials() -> None:
    rng = np.random.default_rng(5)
    intervals = [log_interval(paces(networks(rng, 10, 3))[0]) for _ in range(200)]
    assert sum(low <= 0.0 <= high for low, high in intervals) >= 180


def test_an_estimate_is_reckoned_with_as_far_as_it_is_known() -> None:
    few, many = Spread(0.0, 1).moderated(), Spread(0.0, 997).moderated()
    assert (few.relative, few.degrees) == (pytest.approx(0.01 * np.sqrt(3 / 4)), 1)
    assert (many.relative, many.degrees) == (pytest.approx(0.01 * np.sqrt(3 / 1000)), 997)
    assert Spread(0.01, 7).moderated().relative == pytest.approx(0.01)
    assert Spread(0.05, 5).moderated() == Spread(0.05, 5)


def test_a_spread_that_came_out_near_0_by_chance_makes_nothing_differ() -> None:
    times = networks(np.random.default_rng(10), 2, 3, lambda _rng, shape: np.zeros(shape))
    numbers = times[0].keys()
    processes = {number: number // ROUNDS for number in numbers}
    quiet = ProcessSpread(Spread(0.0, 4), Spread(0.0, 4))
    one, other = (RelativeTimes(dict.fromkeys(numbers, factor), "s", processes, quiet) for factor in (1.0, 1.012))
    assert 0.05 < log_ratio(one, other).p_value < 0.5


def test_networks_that_had_processes_without_one_another_are_compared_in_anchors() -> None:
    rng = np.random.default_rng(11)
    times = networks(rng, 4, 4, common=0.08)
    late = {number: ms for number, ms in times[1].items() if number >= 3 * ROUNDS}  # joined for the last process
    one, other, *_ = paces([times[0], late, *times[2:]])
    both = paces(times)
    assert share_all(both[0], both[1])
    assert not share_all(one, other)
    assert not share_all(other, one)
    width = [high - low for low, high in (log_ratio(one, other).ci, log_ratio(*both[:2]).ci)]
    assert width[0] > 2 * width[1]


def test_of_networks_that_never_shared_two_processes_nothing_is_said_beside_one_another() -> None:
    times = networks(np.random.default_rng(12), 2, 4)
    early = {number: ms for number, ms in times[0].items() if number < 2 * ROUNDS}
    late = {number: ms for number, ms in times[1].items() if number >= 2 * ROUNDS}
    one, _ = paces([early, late])
    assert one.spread.own.degrees == 2
    assert one.spread.paired == ASSUMED_SPREAD.paired


def test_without_a_second_process_the_spread_is_assumed() -> None:
    rng = np.random.default_rng(6)
    alone = [RelativeTimes(times, "s") for times in networks(rng, 5, 1)]
    assert estimate_spread(alone) == ASSUMED_SPREAD
    assert estimate_spread([]) == ASSUMED_SPREAD


def test_a_network_timed_beside_no_other_has_a_spread_of_its_own() -> None:
    (one,) = paces(networks(np.random.default_rng(7), 1, 4))
    assert one.spread.own.degrees == 3
    assert one.spread.paired == ASSUMED_SPREAD.paired


def test_a_spread_is_stored_and_read_again() -> None:
    spread = paces(networks(np.random.default_rng(8), 4, 3))[0].spread
    assert isinstance(spread, ProcessSpread)
    assert spread_of(spread_info(spread)) == spread
    assert spread_info(ASSUMED_SPREAD) is None
    assert spread_of(None) == ASSUMED_SPREAD


def test_times_beside_two_processes_of_the_anchor_are_known_less_well() -> None:
    def beside(*anchors: str) -> tuple[float, float]:
        one, other, *_ = paces(networks(np.random.default_rng(9), 6, 3))
        apart = [RelativeTimes(p.times, f"s{i}", p.processes, p.spread, anchors[i]) for i, p in enumerate((one, other))]
        return log_ratio(*apart).ci

    (low, high), (far_low, far_high) = beside("x", "x"), beside("x", "y")
    assert far_high - far_low > 1.3 * (high - low)
    assert beside("", "") == pytest.approx((far_low, far_high), rel=0.1)  # records that do not name it


def test_what_was_only_assumed_is_not_stored() -> None:
    (one,) = paces(networks(np.random.default_rng(7), 1, 4))
    info = spread_info(one.spread)
    assert (info.degrees, info.paired_relative, info.paired_degrees) == (3, None, None)
    assert spread_of(info) == one.spread
