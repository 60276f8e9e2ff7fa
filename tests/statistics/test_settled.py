"""Which networks need no further process, on scripted times."""

import numpy as np
import pytest

from harness.statistics.inference import log_ratio
from harness.statistics.process_spread import RelativeTimes, estimate_spread
from harness.statistics.settled import settled
from tests.statistics.test_process_spread import ROUNDS, Draw, networks, normal, with_outliers


def records(times: list[dict[int, float]], processes: int) -> list[RelativeTimes]:
    """Return the first processes of networks as relative times."""
    return [
        RelativeTimes(
            {number: ms for number, ms in one.items() if number < processes * ROUNDS},
            "s",
            {number: number // ROUNDS for number in range(processes * ROUNDS)},
            anchor="a",
        )
        for one in times
    ]


def scaled(times: list[dict[int, float]], factors: list[float]) -> list[dict[int, float]]:
    return [{number: factor * ms for number, ms in one.items()} for one, factor in zip(times, factors, strict=True)]


def test_far_networks_are_settled_and_close_ones_are_not() -> None:
    found = np.zeros(6)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        equal = networks(rng, 6, 2, lambda r, shape: r.normal(0, 0.005, shape))
        times = scaled(equal, [1.0, 1.01, 2.0, 3.0, 3.04, 9.0])
        found += settled(records(times, 2))
    assert found[[0, 1, 3, 4]].max() == 0
    assert found[[2, 5]].min() >= 16  # of one in twenty networks the processes disagree by chance


def test_one_process_settles_nothing() -> None:
    times = scaled(networks(np.random.default_rng(0), 3, 1), [1.0, 10.0, 100.0])
    assert settled(records(times, 1)) == [False, False, False]


def test_networks_that_were_timed_before_count() -> None:
    equal = networks(np.random.default_rng(1), 4, 2, lambda r, s: r.normal(0, 0.003, s))
    one, other, third, close = records(scaled(equal, [1.0, 5.0, 9.0, 5.01]), 2)
    assert settled([one, other, third]) == [True, True, True]
    assert settled([one, other, third], [close]) == [True, False, True]


def test_networks_without_a_rank_show_the_spread_and_settle_nothing_else() -> None:
    equal = networks(np.random.default_rng(3), 4, 2, lambda r, s: r.normal(0, 0.003, s))
    one, other, close, far = records(scaled(equal, [1.0, 5.0, 5.01, 20.0]), 2)
    assert settled([one, other]) == [False, False]  # two degrees of freedom
    assert settled([one, other], unranked=[far]) == [True, True]
    assert settled([one, other], unranked=[close]) == [True, True]  # its time is no other rank's
    assert settled([one, other], [close]) == [True, False]


def test_where_few_processes_tell_their_spread_nothing_is_settled() -> None:
    times = scaled(networks(np.random.default_rng(5), 3, 2, lambda r, s: r.normal(0, 0.003, s)), [1.0, 10.0, 100.0])
    three = records(times, 2)
    assert settled(three[:1]) == [False]
    assert settled(three[:2]) == [False, False]  # two degrees of freedom
    assert settled(three) == [True, True, True]
    assert settled(three[:1], three[1:]) == [True]
    assert settled([]) == []


def test_networks_beside_another_process_of_the_anchor_must_be_further_away() -> None:
    beside_one, beside_two = 0, 0
    for seed in range(12):
        equal = networks(np.random.default_rng(seed), 4, 2, lambda r, s: r.normal(0, 0.003, s))
        one, close, *others = records(scaled(equal, [1.0, 1.1, 5.0, 30.0]), 2)
        elsewhere = RelativeTimes(close.times, "t", close.processes, anchor="b")
        beside_one += settled([one, close, *others])[0]
        beside_two += settled([one, *others], [elsewhere])[0]
    assert beside_one > 4
    assert beside_two == 0


def test_a_network_with_an_outlying_process_gets_another() -> None:
    times = scaled(networks(np.random.default_rng(2), 4, 2, lambda r, s: r.normal(0, 0.003, s)), [1.0, 5.0, 20.0, 90.0])
    times[2] = {number: ms * (1.4 if number < ROUNDS else 1.0) for number, ms in times[2].items()}
    assert settled(records(times, 2)) == [True, True, False, True]


@pytest.mark.parametrize("draw", [pytest.param(normal, marks=pytest.mark.nightly), with_outliers])
def test_stopping_early_calls_no_more_equal_networks_different(draw: Draw) -> None:
    """Two equal networks beside eight that are far apart: 5 % of the comparisons, as with all processes."""
    rng = np.random.default_rng(3)
    trials, false, stopped = 100, 0, 0
    for _ in range(trials):
        times = scaled(networks(rng, 10, 3, draw), [1.0, 1.0, *(3.0**n for n in range(1, 9))])
        early = settled(records(times, 2))
        stopped += sum(early[2:])
        assert not any(early[:2]) or draw is with_outliers
        several = [records([one], 2 if done else 3)[0] for one, done in zip(times, early, strict=True)]
        spread = estimate_spread(several)
        one, other = (RelativeTimes(n.times, n.session, n.processes, spread, n.anchor) for n in several[:2])
        false += log_ratio(one, other).p_value < 0.05
    assert false <= 11  # 5 % of 100, and what 100 trials leave open
    assert stopped > trials * 4
