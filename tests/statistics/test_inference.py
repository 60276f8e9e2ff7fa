"""Ties: when two scores are told apart, and when not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from harness.statistics.inference import RelativeTimes, holm, mean_difference, ratio_difference
from harness.tracks import get_track
from harness.tracks.score_inference import Evidence, score_difference, score_interval, score_p_value, tied

TRACK = get_track("ntire23-x2")
BICUBIC = 30.0


def evidence(psnr: np.ndarray, ms: float, *, session: str = "s", spread: float = 0.01, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    times = {i: float(ms * np.exp(rng.normal(0, spread))) for i in range(40)}
    return Evidence(list(psnr), ms, RelativeTimes(times, session))


def images(gain: float, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    hard = np.linspace(-4, 4, 20)
    return 31.0 + gain + hard + np.random.default_rng(seed).normal(0, noise, 20)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), min_size=1, max_size=8))
def test_correction_never_lowers_a_p_value_nor_changes_their_order(values: dict[str, float]) -> None:
    corrected = holm(values)
    assert all(values[key] <= corrected[key] <= 1 for key in values)
    order = sorted(values, key=lambda key: values[key])
    assert [corrected[key] for key in order] == sorted(corrected.values())


def test_a_small_gain_on_every_image_counts_and_one_lost_among_hard_images_does_not() -> None:
    steady = score_p_value(evidence(images(0.1), 10.0), evidence(images(0.0, seed=1), 10.0), TRACK, BICUBIC)
    lost = score_p_value(evidence(images(0.1, 1.0), 10.0), evidence(images(0.0, 1.0, seed=1), 10.0), TRACK, BICUBIC)
    assert steady < 0.01
    assert lost > 0.05


def test_times_count_as_far_as_they_are_known() -> None:
    fast, slow = evidence(images(0.0), 10.0), evidence(images(0.0), 11.0, seed=1)
    assert score_p_value(fast, slow, TRACK, BICUBIC) < 0.01
    unsure = [evidence(images(0.0), ms, spread=0.5, seed=seed) for seed, ms in enumerate((10.0, 11.0))]
    assert score_p_value(*unsure, TRACK, BICUBIC) > 0.05


def test_what_both_share_in_a_round_drops_out_only_for_networks_of_one_session() -> None:
    busy = np.exp(np.random.default_rng(5).normal(0, 0.5, 40))
    noise = np.random.default_rng(6).normal(1, 0.01, (2, 40))

    def pair(session: str) -> list[Evidence]:
        return [
            Evidence(list(images(0.0)), ms, RelativeTimes(dict(enumerate(ms * busy * noise[i])), session))
            for i, ms in enumerate((10.0, 11.0))
        ]

    assert score_p_value(*pair("s"), TRACK, BICUBIC) < 0.01
    assert score_p_value(*pair(""), TRACK, BICUBIC) > 0.05


def test_equal_evidence_is_tied_and_one_call_is_taken_for_uncertain() -> None:
    once = [Evidence(list(images(0.0)), ms, RelativeTimes({0: ms})) for ms in (10.0, 11.0, 40.0)]
    groups = tied({"a": once[0], "b": once[1], "c": once[2], "d": once[0]}, TRACK, BICUBIC)
    assert set(groups["a"]) == {"b", "d"}
    assert "c" not in groups["b"]
    assert groups["c"] == []


def test_scores_of_zero_are_tied() -> None:
    below = [evidence(images(-3.0, seed=seed), 10.0, seed=seed) for seed in range(2)]
    assert score_p_value(*below, TRACK, BICUBIC) == 1.0


def test_scores_of_any_sign_are_compared() -> None:
    negative = replace(TRACK, formula=lambda psnr, ms, _: psnr - 40.0 - ms)
    one, other = evidence(images(0.1), 10.0), evidence(images(0.0, seed=1), 10.0)
    found = score_difference(one, other, negative, BICUBIC)
    assert found.value == pytest.approx(np.mean(one.psnr) - np.mean(other.psnr))
    assert found.ci[0] < found.value < found.ci[1]
    steady = score_difference(evidence(images(0.0), 10.0), evidence(images(0.0), 11.0, seed=1), negative, BICUBIC)
    assert steady.p_value < 0.01
    assert steady.value == pytest.approx(1.0)


def test_a_formula_that_takes_no_arrays_is_called_for_each_draw() -> None:
    def scalar(psnr: float, runtime_ms: float, bicubic: float) -> float:
        assert isinstance(psnr, float)
        return 0.0 if psnr <= bicubic else 20 * 2 ** (psnr - bicubic) / runtime_ms**0.5

    one, other = evidence(images(0.3), 10.0), evidence(images(0.1, seed=1), 12.0, seed=1)
    quick = score_difference(one, other, TRACK, BICUBIC)
    slow = score_difference(one, other, replace(TRACK, formula=scalar), BICUBIC)
    assert slow.value == pytest.approx(quick.value)
    assert slow.ci == pytest.approx(quick.ci)
    assert slow.p_value == pytest.approx(quick.p_value)


def test_a_mean_difference_is_close_to_the_paired_t_test() -> None:
    first, second = images(0.1, 0.3), images(0.0, 0.3, seed=1)
    found, known = mean_difference(list(first), list(second)), ttest_rel(first, second)
    assert found.value == pytest.approx(np.mean(first - second))
    assert found.p_value == pytest.approx(known.pvalue, rel=0.2)
    low, high = known.confidence_interval()
    assert found.ci == pytest.approx((low, high), abs=0.15 * (high - low))
    assert mean_difference([1.0], [2.0]).p_value == 1.0
    assert mean_difference([1.0, 2.0], [1.0, 2.0]).p_value == 1.0


def test_times_of_different_runs_are_compared_apart() -> None:
    fast, slow = evidence(images(0.0), 10.0, session="a"), evidence(images(0.0), 11.0, session="b", seed=1)
    found = ratio_difference(slow.pace, fast.pace)
    assert found.value == pytest.approx(10.0, abs=1.0)
    assert found.p_value < 0.01
    assert found.ci[0] < 10.0 < found.ci[1]


def test_a_score_s_interval_covers_images_and_times() -> None:
    """The score is 2^gain / sqrt(ms) times a constant, so the variance of its logarithm is known in closed form."""
    rng = np.random.default_rng(3)
    gains = list(rng.normal(1.0, 0.2, 400))
    psnr = BICUBIC + float(np.mean(gains))
    sigma = np.hypot(np.log(2) * 0.2 / np.sqrt(400), 0.5 * np.log(1.02))
    low, high = score_interval(psnr, 10.0, (10.0 / 1.02**1.96, 10.0 * 1.02**1.96), gains, TRACK, BICUBIC)
    assert np.log(high / low) == pytest.approx(2 * 1.96 * sigma, rel=0.1)
    alone = score_interval(psnr, 10.0, (10.0, 10.0), [1.0], TRACK, BICUBIC)
    assert alone == pytest.approx((TRACK.score(psnr, 10.0, BICUBIC),) * 2)
