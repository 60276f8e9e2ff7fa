"""How often an image is drawn."""

import numpy as np
import pytest

from training.patches import DETAIL_LIMIT, Pair, sampling_probabilities


def pair(detail: float, side: int = 100) -> Pair:
    return Pair("x/1", 0, 0, side, side, detail)


def test_skies_are_drawn_less_often_than_leaves() -> None:
    probabilities = sampling_probabilities([pair(0.0), pair(2.0), pair(6.0)])
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities[0] < probabilities[1] < probabilities[2]
    assert probabilities[2] / probabilities[0] == pytest.approx(13.0)


def test_hard_edges_do_not_crowd_out_photographs() -> None:
    probabilities = sampling_probabilities([pair(DETAIL_LIMIT), pair(10 * DETAIL_LIMIT)])
    assert np.allclose(probabilities, 0.5)


def test_four_times_the_area_counts_twice() -> None:
    probabilities = sampling_probabilities([pair(3.0, 100), pair(3.0, 200)])
    assert probabilities[1] / probabilities[0] == pytest.approx(2.0)
