"""How often an image is drawn."""

import numpy as np
import pytest

from training.patches import DETAIL_LIMIT, Pair, odds


def pair(detail: float, side: int = 100) -> Pair:
    return Pair("x/1", 0, 0, side, side, detail)


def test_skies_are_drawn_less_often_than_leaves() -> None:
    chances = odds([pair(0.0), pair(2.0), pair(6.0)])
    assert chances.sum() == pytest.approx(1.0)
    assert chances[0] < chances[1] < chances[2]
    assert chances[2] / chances[0] == pytest.approx(13.0)


def test_hard_edges_do_not_crowd_out_photographs() -> None:
    chances = odds([pair(DETAIL_LIMIT), pair(10 * DETAIL_LIMIT)])
    assert np.allclose(chances, 0.5)


def test_four_times_the_area_counts_twice() -> None:
    chances = odds([pair(3.0, 100), pair(3.0, 200)])
    assert chances[1] / chances[0] == pytest.approx(2.0)
