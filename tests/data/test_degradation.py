"""How LR is made: against Pillow called directly, the tables, and closed forms."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from harness.data import DEGRADATIONS, centre_crop, centre_crop_to, degrade, get_degradation, jpeg
from harness.data.degradation import decode, encode, shrink
from harness.data.imresize import imresize
from harness.errors import UsageError

HR = np.random.default_rng(0).integers(0, 256, (48, 72, 3), dtype=np.uint8)
SMOOTH = np.tile(np.linspace(20, 230, 120).astype(np.uint8)[None, :, None], (96, 1, 3))


def test_ntire23_is_pillow_bicubic_and_jpeg_90() -> None:
    small = Image.fromarray(HR).resize((36, 24), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=90)
    np.testing.assert_array_equal(degrade(HR, 2, get_degradation("ntire23")), np.array(Image.open(stream)))


def test_bicubic_is_pillow_alone() -> None:
    small = Image.fromarray(HR).resize((24, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(degrade(HR, 3, get_degradation("bicubic")), np.array(small))


def test_any_jpeg_quality_and_subsampling() -> None:
    assert get_degradation("jpeg75-444") == jpeg(75, "4:4:4")
    assert get_degradation("jpeg90").parameters == get_degradation("ntire23").parameters
    full = degrade(HR, 2, get_degradation("jpeg90-444"))
    halved = degrade(HR, 2, get_degradation("jpeg90-420"))
    assert np.abs(full.astype(int) - halved).max() > 10


@pytest.mark.parametrize("name", ["ntire24", "jpeg0", "jpeg101", "jpeg90-411", "avif64"])
def test_unknown_degradations_list_what_there_is(name: str) -> None:
    with pytest.raises(UsageError, match="ntire23"):
        get_degradation(name)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_keeps_a_smooth_image_nearly(name: str) -> None:
    degradation = get_degradation(name)
    lr = degrade(SMOOTH, 2, degradation)
    assert lr.shape == (48, 60, 3)
    expected = SMOOTH[::2].reshape(48, 60, 2, 3).mean(axis=2)
    assert np.abs(lr - expected)[4:-4, 4:-4].max() < (16 if degradation.codec == "avif" else 4)


def test_stronger_avif_is_smaller_and_worse() -> None:
    shrunk = shrink(HR, 2, get_degradation("avif31")).astype(int)
    files = [encode(shrunk.astype(np.uint8), get_degradation(f"avif{level}")) for level in (31, 39, 47, 55, 63)]
    sizes = [len(content) for content in files]
    errors = [np.abs(decode(content) - shrunk).mean() for content in files]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


def test_uneven_sides_are_refused() -> None:
    with pytest.raises(UsageError, match="72x48"):
        degrade(HR, 5, get_degradation("bicubic"))


@pytest.mark.parametrize(
    ("size", "multiple", "kept"),
    [((10, 10), 3, slice(0, 9)), ((11, 11), 3, slice(1, 10)), ((11, 11), 4, slice(2, 10)), ((12, 12), 4, slice(0, 12))],
)
def test_centre_crop_halves_an_odd_rest_to_even(size: tuple[int, int], multiple: int, kept: slice) -> None:
    """The offsets are those of torchvision's center_crop: int(round(rest / 2)), where Python rounds to even."""
    image = np.arange(size[0] * size[1] * 3, dtype=np.uint16).astype(np.uint8).reshape(*size, 3)
    np.testing.assert_array_equal(centre_crop(image, multiple), image[kept, kept])


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot crop"):
        centre_crop_to(HR, 49, 72)


def shares(length_in: int, length_out: int) -> np.ndarray:
    """Return the whole matrix of one axis of MATLAB's bicubic imresize, in its own 1-based terms, tap by tap."""
    scale = length_out / length_in
    narrow = min(scale, 1.0)
    mirror = [*range(length_in), *reversed(range(length_in))]
    matrix = np.zeros((length_out, length_in))
    for place in range(1, length_out + 1):
        centre = place / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(centre - 2 / narrow)
        for tap in range(left, left + math.ceil(4 / narrow) + 2):
            x = abs(narrow * (centre - tap))
            near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            matrix[place - 1, mirror[(tap - 1) % len(mirror)]] += near if x <= 1 else far if x < 2 else 0.0
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(18, 26), (12, 17), (9, 13), (72, 104), (37, 5), (36, 52)])
def test_imresize_is_matlabs_within_one_grey_level(size: tuple[int, int]) -> None:
    hr = np.random.default_rng(3).integers(0, 256, (36, 52, 3), dtype=np.uint8)
    exact = np.einsum("ij,jkc,lk->ilc", shares(36, size[0]), hr.astype(float), shares(52, size[1]))
    ours = imresize(hr, *size)
    assert ours.shape == (*size, 3)
    assert np.abs(ours - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-9
