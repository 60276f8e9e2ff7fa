"""Summaries of samples against numpy and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.results.measurement import RoundTimes, TimingRecord
from harness.statistics.runtime_summary import bootstrap_interval, round_ratios, summarise
from harness.timing import NTIRE23, protocol_for

samples = st.lists(st.floats(min_value=0.01, max_value=1e5), min_size=1, max_size=60)


@settings(deadline=None)  # the first interval imports scipy
@given(samples)
def test_figures_are_those_of_numpy(values: list[float]) -> None:
    summary = summarise(values, "median")
    assert summary.median == pytest.approx(np.median(values))
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.p95 == pytest.approx(np.percentile(values, 95))
    assert summary.samples == len(values)
    low, high = summary.ci
    assert 0 < low <= summary.median <= high
    if len(values) == 1:
        assert low == high


def test_equal_samples_have_no_uncertainty() -> None:
    summary = summarise([7.5] * 20, "mean")
    assert summary.ci == (7.5, 7.5)
    assert summary.stable


def test_few_samples_are_never_called_stable() -> None:
    assert not summarise([7.5] * 3, "median").stable


def test_scattered_samples_are_not_called_stable() -> None:
    assert not summarise([1.0, 2.0] * 20, "mean").stable


def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(10.0, 1.0, size=100), "mean")
        covered += low <= 10.0 <= high
    assert 175 <= covered <= 199  # 95 % of 200, with what 200 trials and 100 samples leave open


@pytest.mark.parametrize("count", [3, 5, 10, 20])
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_an_interval_from_few_calls_covers_the_truth_as_often(count: int, statistic: str) -> None:
    rng = np.random.default_rng(count)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(100.0, 5.0, size=count), statistic)
        covered += low <= 100.0 <= high
    assert covered >= 178  # 89 %: without Student's t, three calls reach 71 % and ten 86 %


def test_the_interval_of_correlated_samples_is_wider() -> None:
    rng = np.random.default_rng(3)
    white = rng.normal(0.0, 1.0, size=400)
    correlated = np.convolve(white, np.ones(8), mode="same")
    shuffled = rng.permutation(correlated)
    low, high = bootstrap_interval(100.0 + correlated, "mean")
    low_shuffled, high_shuffled = bootstrap_interval(100.0 + shuffled, "mean")
    assert high - low > 1.3 * (high_shuffled - low_shuffled)


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no sample"):
        summarise([], "mean")


def test_protocols_follow_the_device() -> None:
    assert protocol_for("cuda", name="ntire23") is NTIRE23
    assert (protocol_for("cuda").name, protocol_for("cuda").precision) == ("robust", "fp16")
    assert (protocol_for("cpu").name, protocol_for("cpu").half_width) == ("robust", 0.005)
    assert (NTIRE23.warmup, NTIRE23.repeats, NTIRE23.precision, NTIRE23.statistic) == (50, 244, "fp16", "mean")
    on_cpu = protocol_for("cpu", budget_s=2.5)
    assert (on_cpu.precision, on_cpu.budget_s, on_cpu.fresh_inputs) == ("fp32", 2.5, True)
    with pytest.raises(UsageError, match="time budget"):
        protocol_for("cpu", budget_s=0)


@pytest.mark.parametrize(("device", "expected"), [("cuda", 2.0), ("cpu", 2.5)])
def test_a_slow_first_call_counts_on_a_processor_only(device: str, expected: float) -> None:
    """On an accelerator the first call after another process is slow; on a CPU a slow call holds what others took."""
    calls = [12.0, *[4.0] * 7]  # median 4, mean 5
    record = TimingRecord(
        clock="any",
        turn_statistic=protocol_for(device).turn_statistic,
        samples=[(0.0, ms) for ms in calls * 3],
        rounds=[RoundTimes(number=n, calls=len(calls), anchor_ms=(2.0, 2.0)) for n in range(3)],
        session="s",
    )
    assert round_ratios(record).values.tolist() == [expected] * 3
