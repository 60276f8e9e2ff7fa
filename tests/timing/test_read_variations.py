"""Variations of frames as a worker reports them: each call has one of its own."""

import pytest

from harness.timing.frames import draw_variation, read_variations


def test_drawn_variations_are_read_back() -> None:
    drawn = [None, *(draw_variation(48, 64) for _ in range(200))]
    assert read_variations([one.as_row() if one else [] for one in drawn], 201) == drawn


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([[1, 2, 3, 4, 65000], [1, 2, 3, 4, 65000]], "varied alike"),
        ([[1, 2, 3, 4, 0], []], "odd ones"),
        ([[1, 2, 3, 4, 65536], []], "odd ones"),
        ([[1, 2, 3, 4], []], "odd ones"),
        ([[1, 2, 3, 4, 65000]], "1 variations of frames for 2 call"),
    ],
)
def test_what_no_honest_worker_reports_is_refused(rows: list[list[int]], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        read_variations(rows, 2)
