"""Differences of means and of times, and the correction for many comparisons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from harness.statistics.inference import holm, interval_difference, mean_difference, ratio_difference
from harness.statistics.process_spread import RelativeTimes


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), min_size=1, max_size=8))
def test_correction_never_lowers_a_p_value_nor_changes_their_order(values: dict[str, float]) -> None:
    corrected = holm(values)
    assert all(values[key] <= corrected[key] <= 1 for key in values)
    order = sorted(values, key=lambda key: values[key])
    assert [corrected[key] for key in order] == sorted(corrected.values())


@pytest.mark.parametrize("seed", range(6))
def test_a_mean_difference_is_the_paired_t_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = np.linspace(-4, 4, 9)
    first, second = 31.1 + level + rng.normal(0, 0.3, 9), 31.0 + level + rng.normal(0, 0.3, 9)
    difference, known = mean_difference(list(first), list(second)), ttest_rel(first, second)
    assert difference.value == pytest.approx(np.mean(first - second))
    assert difference.p_value == pytest.approx(known.pvalue)
    assert difference.ci == pytest.approx(tuple(known.confidence_interval()))


def test_one_image_proves_nothing_and_equal_images_do_not_differ() -> None:
    assert mean_difference([1.0], [2.0]).p_value == 1.0
    assert mean_difference([1.0], [1.0]).p_value == 1.0
    assert mean_difference([1.0, 2.0], [1.0, 2.0]).p_value == 1.0


def test_times_of_different_runs_are_compared_independently() -> None:
    rng = np.random.default_rng(0)
    fast, slow = (
        RelativeTimes({i: float(ms * np.exp(rng.normal(0, 0.01))) for i in range(40)}, session)
        for ms, session in ((10.0, "a"), (11.0, "b"))
    )
    difference = ratio_difference(slow, fast)
    assert difference.value == pytest.approx(10.0, abs=1.0)
    assert difference.p_value < 0.01
    assert difference.ci[0] < 10.0 < difference.ci[1]


def test_figures_of_which_only_intervals_are_known_are_compared_by_these() -> None:
    """The standard errors of the logarithms are 1 % each, so a difference of 2.77 % is at the limit."""
    interval = 1.0 / 1.01**1.96, 1.01**1.96
    for excess, differs in ((1.026, False), (1.030, True)):
        scaled = interval[0] * excess, interval[1] * excess
        assert (interval_difference(excess, scaled, 1.0, interval).p_value < 0.05) == differs
    assert interval_difference(1.1, (1.1, 1.1), 1.0, (1.0, 1.0)).value == pytest.approx(10.0)
