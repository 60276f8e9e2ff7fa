"""Ranges of ranks: they agree with ties, contain what resampling gives, and cover the true rank."""

import numpy as np
import pytest
from scripted_scores import score, scripted

from harness.statistics.rank_ranges import rank_ranges, ranks
from harness.statistics.score_difference import ScoreData, resample_scores, score_differences
from harness.tracks.ranking import rank


def compared(data: list[ScoreData]) -> tuple:
    resamples = resample_scores(data, score)
    differences = score_differences(resamples)
    return resamples, differences, rank_ranges(resamples, differences)


def test_ranks_agree_with_the_ranking_of_tracks() -> None:
    scores = np.array([[3.0, 1.0], [2.0, 1.0], [5.0, 0.5]])
    for column in range(2):
        expected = rank({str(at): float(scores[at, column]) for at in range(3)}, higher_is_better=True)
        assert ranks(scores)[:, column].tolist() == [expected[str(at)] for at in range(3)]


@pytest.mark.parametrize("step", [0.0, 0.05, 0.2, 1.0])
def test_a_range_has_room_for_every_tie_and_no_more_without_any(step: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        resamples, differences, ranges = compared(scripted(rng, list(step * np.arange(8)), image_count=20))
        observed = ranks(resamples.observed[:, None])[:, 0]
        for index, (low, high) in enumerate(ranges):
            ties = sum(index in pair.pair and not pair.significant for pair in differences)
            assert low <= observed[index] <= high
            assert high - low >= ties
            assert high - low <= (ties + 1 if ties else 0)


@pytest.mark.parametrize("shift", [0.0, 2000.0])
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_scores_beyond_float64_have_the_ranges_of_their_logarithms(shift: float, higher_is_better: bool) -> None:
    data = scripted(np.random.default_rng(5), [0.0, 1.0, 2.0, 3.0], image_count=20)

    def logarithm(psnr: np.ndarray, runtime_ms: np.ndarray) -> np.ndarray:
        return np.log(score(psnr, runtime_ms)) + shift

    resamples = resample_scores(data, logarithm, logarithms=True)
    ranges = rank_ranges(resamples, score_differences(resamples), higher_is_better=higher_is_better)
    places = ranks((1 if higher_is_better else -1) * resamples.observed[:, None])[:, 0]
    assert ranges == [(place, place) for place in places]


def test_of_two_tied_rows_either_range_reaches_the_other() -> None:
    """The first row of a run is not shown without alternatives while a line joins it with the next four."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        resamples, differences, ranges = compared(scripted(rng, [0.0, 0.1, 0.2, 0.3, 0.4, 1.5], image_count=6))
        observed = ranks(resamples.observed[:, None])[:, 0]
        first = int(np.argmin(observed))
        ties = [pair for pair in differences if first in pair.pair and not pair.significant]
        assert ranges[first][1] == 1 + len(ties)


def test_the_ranges_contain_the_ranks_of_95_per_cent_of_the_resamplings() -> None:
    rng = np.random.default_rng(3)
    resamples, _, ranges = compared(scripted(rng, list(0.1 * np.arange(10))))
    drawn = ranks(resamples.joint)
    for row, (low, high) in zip(drawn, ranges, strict=True):
        assert ((row >= low) & (row <= high)).mean() >= 0.95


@pytest.mark.parametrize("step", [0.1, *(pytest.param(one, marks=pytest.mark.nightly) for one in (0.0, 0.03, 0.4))])
def test_the_ranges_of_a_run_cover_all_true_ranks_together(step: float) -> None:
    """The true rank by time, as the networks are equally good; equal networks may have any rank that they share."""
    rng = np.random.default_rng(4)
    trials, covered = 100, 0
    for _ in range(trials):
        _, _, ranges = compared(scripted(rng, list(step * np.arange(8)), image_count=12))
        truth = np.arange(1, 9) if step else np.ones(8)
        covered += all(low <= true <= high for true, (low, high) in zip(truth, ranges, strict=True))
    assert covered >= 90  # 95 % of 100, and what 100 trials leave open


def test_a_lower_score_may_be_the_better_one() -> None:
    resamples, differences, ranges = compared(scripted(np.random.default_rng(5), [0.0, 1.0, 2.0]))
    assert ranges == [(1, 1), (2, 2), (3, 3)]
    assert rank_ranges(resamples, differences, higher_is_better=False) == [(3, 3), (2, 2), (1, 1)]


def test_many_networks_are_compared_pair_by_pair() -> None:
    data = scripted(np.random.default_rng(6), [0.01 * i for i in range(50)], image_count=100, rounds=15)
    _, differences, ranges = compared(data)
    assert len(differences) == 1225
    assert len(ranges) == 50
