"""Comparison of two networks' times: how often equal ones are called different, and different ones equal."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from harness.results.measurement import RoundTimes, TimingRecord
from harness.statistics.compare_times import compare_times, signed_rank_p_value, widen_by_ranks
from harness.statistics.process_spread import ASSUMED_SPREAD


def record(times: np.ndarray, anchors: np.ndarray, session: str = "s") -> TimingRecord:
    return TimingRecord(
        clock="scripted",
        samples=[(float(i), float(ms)) for i, ms in enumerate(times)],
        rounds=[
            RoundTimes(number=i, calls=1, anchor_ms=(float(a), float(b)))
            for i, (a, b) in enumerate(zip(anchors, anchors, strict=True))
        ],
        session=session,
    )


def two(rng: np.random.Generator, ratio: float, rounds: int = 40) -> tuple[TimingRecord, TimingRecord]:
    """Time two networks on a machine that drifts and is busy now and then."""
    speed = np.exp(np.cumsum(rng.normal(0, 0.02, rounds))) * np.where(rng.random(rounds) < 0.2, 1.5, 1.0)
    anchors = speed * rng.normal(1, 0.01, rounds)
    one, other = (speed * factor * rng.normal(1, 0.02, rounds) for factor in (ratio, 1.0))
    return record(one, anchors), record(other, anchors)


@pytest.mark.parametrize("rounds", [40, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.nightly])])
def test_equal_networks_are_seldom_called_different_and_unequal_ones_mostly(rounds: int) -> None:
    rng = np.random.default_rng(0)

    def processes() -> float:
        return float(np.exp(rng.normal(0, ASSUMED_SPREAD.paired.relative * 2**0.5)))

    false = sum(compare_times(*two(rng, processes(), rounds)).p_value < 0.05 for _ in range(200))
    found = sum(compare_times(*two(rng, 1.05 * processes(), rounds)).p_value < 0.05 for _ in range(50))
    assert false <= 18  # 5 % of 200, and what 200 trials leave open
    assert found >= 45


def test_many_rounds_do_not_make_a_difference_of_what_processes_differ_by() -> None:
    rng = np.random.default_rng(5)
    comparison = compare_times(*two(rng, 1 + ASSUMED_SPREAD.paired.relative, rounds=400))
    assert comparison.p_value > 0.2
    assert comparison.ci[0] < 1 < comparison.ci[1]


def test_the_ratio_is_that_of_the_networks() -> None:
    comparison = compare_times(*two(np.random.default_rng(1), 1.3, rounds=200))
    assert comparison.ratio == pytest.approx(1.3, rel=0.01)
    assert comparison.ci[0] < 1.3 < comparison.ci[1]
    assert comparison.rounds > 150


def test_few_rounds_prove_nothing() -> None:
    assert compare_times(*two(np.random.default_rng(2), 2.0, rounds=4)).p_value > 0.05


def test_networks_of_different_sessions_are_not_paired() -> None:
    one, _ = two(np.random.default_rng(3), 1.0)
    with pytest.raises(ValueError, match="same rounds"):
        compare_times(one, one.model_copy(update={"session": "other"}))


def test_the_p_value_is_near_that_of_wilcoxon_where_rounds_are_independent() -> None:
    rng = np.random.default_rng(4)
    for shift in (0.0, 0.2, 0.4):
        differences = rng.normal(shift, 1.0, 60)
        assert signed_rank_p_value(differences) == pytest.approx(wilcoxon(differences).pvalue, abs=0.12)


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 6, 11])
def test_an_interval_of_few_rounds_excludes_nothing(rounds: int) -> None:
    """Even twice the time in each of 11 rounds is compatible with chance: 5 pairs of rounds reach p = 2/32 at best."""
    comparison = compare_times(*two(np.random.default_rng(6), 2.0, rounds))
    assert comparison.p_value > 0.05
    assert comparison.ci == (0.0, np.inf)


def test_interval_and_p_value_agree() -> None:
    """The interval excludes equality exactly where p < 0.05."""
    rng = np.random.default_rng(7)
    for rounds in (12, 13, 16, 20, 40):
        for ratio in (1.0, 1.02, 1.04, 1.06, 1.1, 1.3):
            comparison = compare_times(*two(rng, ratio, rounds))
            low, high = comparison.ci
            assert low <= comparison.ratio <= high
            assert (low <= 1.0 <= high) == (comparison.p_value >= 0.05), (rounds, ratio, comparison)


def test_the_rank_interval_holds_what_wilcoxon_does_not_reject() -> None:
    """By scipy: locations inside the interval of independent differences have p > 0.05, those outside do not."""
    differences = np.random.default_rng(8).normal(0.3, 1.0, 60)
    low, high = widen_by_ranks(differences, (float(np.median(differences)),) * 2)
    width = high - low
    for inside in (low + 0.1 * width, high - 0.1 * width):
        assert wilcoxon(differences - inside).pvalue > 0.05
    for outside in (low - 0.2 * width, high + 0.2 * width):
        assert wilcoxon(differences - outside).pvalue < 0.05
