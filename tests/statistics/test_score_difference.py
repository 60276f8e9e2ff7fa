"""Differences of scores: which are significant, how often equal scores are called different, and intervals."""

from collections.abc import Callable

import numpy as np
import pytest
from scripted_scores import BICUBIC, score, scripted

from harness.statistics.process_spread import ProcessSpread, RelativeTimes, Spread
from harness.statistics.score_difference import (
    ScoreData,
    ScoreDifference,
    resample_scores,
    score_differences,
    score_interval,
)


def network(psnr: np.ndarray, ms: float, *, session: str = "s", spread: float = 0.01, seed: int = 0) -> ScoreData:
    rng = np.random.default_rng(seed)
    times = {i: float(ms * np.exp(rng.normal(0, spread))) for i in range(40)}
    return ScoreData(float(np.mean(psnr)), list(psnr), ms, RelativeTimes(times, session))


def images(gain: float, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    level = np.linspace(-4, 4, 20)
    return 31.0 + gain + level + np.random.default_rng(seed).normal(0, noise, 20)


def differences(*networks: ScoreData, function: Callable = score) -> list[ScoreDifference]:
    return score_differences(resample_scores(networks, function))


def p_value(one: ScoreData, other: ScoreData) -> float:
    (pair,) = differences(one, other)
    assert pair.corrected_p_value == pair.difference.p_value  # one pair needs no correction
    return pair.difference.p_value


def test_a_small_gain_on_every_image_counts_and_one_lost_among_difficult_images_does_not() -> None:
    steady = p_value(network(images(0.1), 10.0), network(images(0.0, seed=1), 10.0))
    lost = p_value(network(images(0.1, 1.0), 10.0), network(images(0.0, 1.0, seed=1), 10.0))
    assert steady < 0.01
    assert lost > 0.05


def test_times_count_as_far_as_they_are_known() -> None:
    fast, slow = network(images(0.0), 10.0), network(images(0.0), 11.0, seed=1)
    assert p_value(fast, slow) < 0.01
    unsure = [network(images(0.0), ms, spread=0.5, seed=seed) for seed, ms in enumerate((10.0, 11.0))]
    assert p_value(*unsure) > 0.05


def test_what_both_share_in_a_round_cancels_only_for_networks_of_one_session() -> None:
    busy = np.exp(np.random.default_rng(5).normal(0, 0.5, 40))
    noise = np.random.default_rng(6).normal(1, 0.01, (2, 40))

    def pair(session: str) -> list[ScoreData]:
        psnr = images(0.0)
        return [
            ScoreData(float(psnr.mean()), list(psnr), ms, RelativeTimes(dict(enumerate(ms * busy * noise[i])), session))
            for i, ms in enumerate((10.0, 11.0))
        ]

    assert p_value(*pair("s")) < 0.01
    assert p_value(*pair("")) > 0.05


def test_equal_networks_are_tied_and_one_call_is_taken_to_be_known_to_a_tenth() -> None:
    psnr = images(0.0)
    once = [ScoreData(float(psnr.mean()), list(psnr), ms, RelativeTimes({0: ms})) for ms in (10.0, 11.0, 40.0, 10.0)]
    tied = {pair.pair for pair in differences(*once) if not pair.significant}
    assert tied == {(0, 1), (0, 3), (1, 3)}


def test_scores_of_zero_are_tied() -> None:
    assert p_value(*(network(images(-3.0, seed=seed), 10.0, seed=seed) for seed in range(2))) == 1.0


def test_of_one_image_nothing_is_known() -> None:
    one, other = (network(np.array([31.0 + gain]), 10.0) for gain in (0.0, 2.0))
    (pair,) = differences(one, other)
    assert pair.difference.p_value == 1.0
    assert pair.difference.ci == (-np.inf, np.inf)


def test_scores_of_any_sign_are_compared() -> None:
    def negative(psnr: np.ndarray, ms: np.ndarray) -> np.ndarray:
        return psnr - 40.0 - ms

    one, other = network(images(0.1), 10.0), network(images(0.0, seed=1), 10.0)
    (pair,) = differences(one, other, function=negative)
    assert pair.difference.value == pytest.approx(one.mean_psnr - other.mean_psnr)
    assert pair.difference.ci[0] < pair.difference.value < pair.difference.ci[1]
    (steady,) = differences(network(images(0.0), 10.0), network(images(0.0), 11.0, seed=1), function=negative)
    assert steady.difference.p_value < 0.01
    assert steady.difference.value == pytest.approx(1.0)


def test_the_interval_excludes_zero_exactly_if_the_p_value_is_below_5_per_cent() -> None:
    rng = np.random.default_rng(2)
    networks = [network(images(0.15 * i, 0.3, seed=i), 10.0 * rng.uniform(0.9, 1.1), seed=i) for i in range(10)]
    pairs = differences(*networks)
    for pair in pairs:
        low, high = pair.difference.ci
        assert (low > 0 or high < 0) == (pair.difference.p_value < 0.05)
        assert low <= pair.difference.value <= high
    assert {pair.difference.p_value < 0.05 for pair in pairs} == {True, False}


def test_scores_whose_intervals_are_apart_differ_before_the_correction() -> None:
    """A slow network of high quality and a fast one, whose gain over the reference varies little over the images."""
    rng = np.random.default_rng(4)
    level = rng.normal(0, 3, 6)
    reference = BICUBIC + level
    slow_gains, fast_gains = 1.17 + rng.normal(0, 0.7, 6), 0.3 + rng.normal(0, 0.15, 6)
    once = {0: 11461.0, 1: 10498.0, 2: 11530.8}
    processes = ProcessSpread(Spread(0.0, 18), Spread(0.0, 14))
    slow = RelativeTimes(once, "a", {i: i for i in range(3)}, processes, "x")
    fast = RelativeTimes(dict.fromkeys(range(20), 147.0), "b", {i: i // 7 for i in range(20)}, processes, "x")
    data = [
        ScoreData(float(BICUBIC + gains.mean()), list(reference + gains), ms, times)
        for gains, ms, times in ((slow_gains, 11461.0, slow), (fast_gains, 147.0, fast))
    ]
    ends = [
        score_interval((one.mean_psnr, one.runtime_ms), ci, list(np.array(one.psnr) - reference), score)
        for one, ci in zip(data, ((10498.0, 11530.8), (141.9, 152.2)), strict=True)
    ]
    assert ends[0][1] < ends[1][0]
    (pair,) = score_differences(resample_scores(data, score, list(reference)))
    # Corrected for the 55 pairs of eleven rows it still differs.
    assert 55 * pair.difference.p_value < 0.05


def test_a_score_s_interval_covers_images_and_times() -> None:
    """The score is 2^gain / sqrt(ms) times a constant, so the variance of its logarithm is known in closed form."""
    rng = np.random.default_rng(3)
    gains = list(rng.normal(1.0, 0.2, 400))
    psnr = BICUBIC + float(np.mean(gains))
    sigma = np.hypot(np.log(2) * 0.2 / np.sqrt(400), 0.5 * np.log(1.02))
    low, high = score_interval((psnr, 10.0), (10.0 / 1.02**1.96, 10.0 * 1.02**1.96), gains, score)
    assert np.log(high / low) == pytest.approx(2 * 1.96 * sigma, rel=0.1)
    alone = score_interval((psnr, 10.0), (10.0, 10.0), [1.0], score)
    assert alone == pytest.approx((float(score(np.array(psnr), np.array(10.0))),) * 2)


@pytest.mark.parametrize(
    ("count", "image_count"),
    [(6, 6), *(pytest.param(*one, marks=pytest.mark.nightly) for one in ((2, 6), (6, 30), (12, 20)))],
)
def test_equal_networks_are_seldom_called_different_in_a_whole_run(count: int, image_count: int) -> None:
    rng = np.random.default_rng(6)
    trials = 100
    false = sum(
        any(pair.significant for pair in differences(*scripted(rng, [0.0] * count, image_count=image_count)))
        for _ in range(trials)
    )
    assert false <= 11  # 5 % of 100, and what 100 trials leave open


def test_unequal_networks_are_called_different() -> None:
    rng = np.random.default_rng(7)
    distinct = [differences(*scripted(rng, [0.0, 0.8, 1.6], image_count=20)) for _ in range(20)]
    assert sum(pair.significant for pairs in distinct for pair in pairs) >= 54  # of 60
