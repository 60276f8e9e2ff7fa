from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from harness.report.labels import Box, Mark, place_labels, text_width

BOUNDS = Box(0, 0, 460, 340)
places = st.tuples(st.floats(5, 455), st.floats(5, 335), st.text("abcXYZ-0123", min_size=1, max_size=26))


@given(st.lists(places, max_size=40))
def test_labels_touch_neither_labels_nor_marks_nor_the_edge(points):
    marks = [Mark(x, y, 3.0, text) for x, y, text in points]
    labels = place_labels(marks, BOUNDS, 8.5)
    assert all(label.box.within(BOUNDS) for label in labels)
    assert not any(first.box.meets(second.box) for first, second in combinations(labels, 2))
    assert not any(label.box.meets(mark.box) for label in labels for mark in marks)


def test_a_lonely_mark_is_named_on_its_right():
    (label,) = place_labels([Mark(100, 100, 3, "LRSRN")], BOUNDS, 8.5)
    assert label.box.left > 103
    assert not label.far


def test_the_best_mark_of_a_crowd_is_named_first():
    marks = [Mark(100 + i / 100, 100, 3, f"model-{i}") for i in range(200)]
    labels = place_labels(marks, BOUNDS, 8.5)
    assert labels[0].mark is marks[0]
    assert len(labels) < len(marks)


def test_obstacles_are_kept_free():
    wall = Box(103, 0, 300, 340)
    (label,) = place_labels([Mark(100, 100, 3, "LRSRN")], BOUNDS, 8.5, [wall])
    assert not label.box.meets(wall)


def test_wide_letters_take_more_room():
    assert text_width("超解像", 10) > text_width("abc", 10)


@given(st.lists(st.tuples(st.floats(20, 380), st.floats(20, 280)), min_size=2, max_size=25))
def test_leader_lines_cross_no_name_on_request(places):
    marks = [Mark(x, y, 3.2, f"Network {at}") for at, (x, y) in enumerate(places)]
    labels = place_labels(marks, Box(0, 0, 400, 300), 7, clear_leaders=True)
    for label in (one for one in labels if one.far):
        box, mark = label.box, label.mark
        x = min(max(mark.x, box.left), box.right)
        y = (
            (box.bottom + box.top) / 2
            if x != mark.x
            else min((box.bottom, box.top), key=lambda edge: abs(edge - mark.y))
        )
        for at in range(101):
            point = mark.x + (x - mark.x) * at / 101, mark.y + (y - mark.y) * at / 101
            inside = [
                one for one in labels
                if one.box.left + 1 < point[0] < one.box.right - 1 and one.box.bottom + 1 < point[1] < one.box.top - 1
            ]  # fmt: skip
            assert not inside
