"""The images of a check are the most detailed parts of real ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from harness.run.check_images import IMAGE_SIDE, most_detailed, write_images


def detail(image: np.ndarray) -> int:
    grey = image.astype(int).sum(axis=2)
    return int(np.abs(np.diff(grey, axis=0))[:, 1:].sum() + np.abs(np.diff(grey, axis=1))[1:].sum())


@given(arrays.arrays(np.uint8, st.tuples(st.integers(3, 70), st.integers(3, 70), st.just(3))), st.integers(2, 40))
def test_no_other_part_differs_more(image: np.ndarray, side: int) -> None:
    side = min(side, *image.shape[:2])
    found = most_detailed(image, side)
    assert found.shape == (side, side, 3)
    rows, columns = (range(0, length - side + 1, 16) for length in image.shape[:2])
    best = max(detail(image[r : r + side, c : c + side]) for r in rows for c in columns)
    assert detail(found) == best


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_images_are_of_the_size_that_the_scale_needs(tmp_path: Path, scale: int) -> None:
    write_images(tmp_path / "images", scale)
    images = [np.array(Image.open(file)) for file in sorted((tmp_path / "images").iterdir())]
    assert [image.shape for image in images] == [(IMAGE_SIDE * scale, IMAGE_SIDE * scale, 3)] * 2
    assert all(image.std() > 20 for image in images)
