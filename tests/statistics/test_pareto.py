"""The Pareto front, compared with its definition."""

from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.pareto import on_front

POINTS = st.lists(st.tuples(st.integers(0, 6).map(float), st.integers(-6, 6).map(float)), max_size=12)


@given(POINTS)
def test_a_point_is_on_the_front_if_no_other_is_at_least_as_good_in_both_and_better_in_one(points) -> None:
    def beats(one, other) -> bool:
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    assert on_front(points) == [not any(beats(other, point) for other in points) for point in points]


def test_equal_points_share_the_front() -> None:
    assert on_front([(2.0, 30.0), (1.0, 29.0), (2.0, 30.0), (2.0, 29.5)]) == [True, True, True, False]
