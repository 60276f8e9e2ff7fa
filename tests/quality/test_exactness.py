"""Compare PSNR and SSIM with scikit-image and with the definition in NumPy, in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.signal import windows
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from harness.errors import DataError
from harness.quality import CONVENTIONS, GAUSSIAN, LUMAS, UNIFORM, evaluate_pair, luma_plane, psnr, ssim
from harness.quality.luma import BT601, SWAPPED, script_luma
from harness.quality.pair import make_pair
from harness.quality.reference import mean_squared_error, psnr_of, ssim_plane

Image = NDArray[np.uint8]
PSNR_TOLERANCE = 1e-6
SSIM_TOLERANCE = 1e-7


def natural(height: int, width: int, seed: int = 0) -> Image:
    """Return a random image with smooth and rough parts and all grey levels."""
    rng = np.random.default_rng(seed)
    waves = np.add.outer(np.sin(np.arange(height) / 9.0), np.cos(np.arange(width) / 5.0))
    image = 128 + 60 * waves[:, :, None] * np.array([1.0, 0.7, -0.5]) + rng.normal(0, 8, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def flat(value: int, size: int = 48) -> Image:
    return np.full((size, size, 3), value, np.uint8)


def random_pair() -> tuple[Image, Image]:
    rng = np.random.default_rng(1)
    return tuple(rng.integers(0, 256, (2, 61, 83, 3), dtype=np.uint8))


def natural_pair() -> tuple[Image, Image]:
    hr = natural(151, 470)
    noise = np.random.default_rng(2).integers(-6, 7, hr.shape)
    return np.clip(hr.astype(int) + noise, 0, 255).astype(np.uint8), hr


def one_pixel() -> tuple[Image, Image]:
    hr = natural(70, 70)
    sr = hr.copy()
    sr[35, 35, 1] ^= 1
    return sr, hr


def split() -> tuple[Image, Image]:
    """Compare a black and white image with intermediate grey levels: large steps in sum and difference."""
    hr = flat(0, 64)
    hr[:, 32:] = 255
    sr = flat(50, 64)
    sr[:, 32:] = 205
    return sr, hr


def regular() -> tuple[Image, Image]:
    """A pattern of period 3 and 4, for which rounding errors are equal everywhere and do not average out."""
    rows, columns = np.mgrid[:60, :72]
    hr = np.repeat((((rows % 3) * 4 + columns % 4) * 23).astype(np.uint8)[:, :, None], 3, axis=2)
    return hr + np.uint8(1) - (columns % 2).astype(np.uint8)[:, :, None] * np.uint8(2) * (hr > 0), hr


PAIRS: dict[str, Callable[[], tuple[Image, Image]]] = {
    "random": random_pair,
    "natural": natural_pair,
    "flat": lambda: (flat(90), flat(120)),
    "bright, 1 apart": lambda: (flat(254), flat(255)),
    "dark, 1 apart": lambda: (flat(1), flat(0)),
    "black and white": lambda: (flat(0), flat(255)),
    "split": split,
    "one sample differs": one_pixel,
    "one window": lambda: (natural(11, 11, 3), natural(11, 11, 4)),
    "one column of windows": lambda: (natural(40, 11, 3), natural(40, 11, 4)),
    "wider than a tile": lambda: (natural(13, 1300, 3), natural(13, 1300, 4)),
    "regular": regular,
}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[Image, Image]:
    return PAIRS[request.param]()


def skimage_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return scikit-image's Gaussian SSIM over its valid interior."""
    axis = 2 if x.ndim == 3 else None
    _, full = structural_similarity(
        x,
        y,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=axis,
        full=True,
    )
    return float(full[5:-5, 5:-5].mean())


def test_psnr_equals_scikit_image(pair: tuple[Image, Image]) -> None:
    sr, hr = pair
    assert psnr(sr, hr) == pytest.approx(peak_signal_noise_ratio(hr, sr), abs=PSNR_TOLERANCE)
    planes = luma_plane(hr, BT601), luma_plane(sr, BT601)
    expected = peak_signal_noise_ratio(*planes, data_range=255)
    assert psnr(sr, hr, colour="y") == pytest.approx(expected, abs=PSNR_TOLERANCE)


def test_ssim_equals_scikit_image(pair: tuple[Image, Image]) -> None:
    sr, hr = pair
    assert ssim(sr, hr) == pytest.approx(skimage_ssim(sr.astype(float), hr.astype(float)), abs=SSIM_TOLERANCE)
    expected = skimage_ssim(luma_plane(sr, BT601), luma_plane(hr, BT601))
    assert ssim(sr, hr, colour="y") == pytest.approx(expected, abs=SSIM_TOLERANCE)


def test_uniform_window_equals_scikit_images_default(pair: tuple[Image, Image]) -> None:
    sr, hr = pair
    expected = structural_similarity(sr, hr, channel_axis=2)
    assert ssim(sr, hr, window=UNIFORM) == pytest.approx(expected, abs=SSIM_TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(11, 90),
    width=st.integers(11, 300),
    border=st.integers(0, 4),
    threads=st.sampled_from([1, 3]),
)
def test_the_script_s_float32_is_reproduced_bit_by_bit(
    seed: int, height: int, width: int, border: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    hr = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    sr = np.clip(hr.astype(int) + rng.integers(-9, 10, hr.shape), 0, 255).astype(np.uint8)
    inner = slice(border, height - border), slice(border, width - border)
    x, y = script_luma(sr[inner], SWAPPED), script_luma(hr[inner], SWAPPED)
    assert make_pair(sr, hr, border, threads).mse_luma(SWAPPED) == float(np.mean((x - y) ** 2))


@pytest.mark.parametrize("luma", LUMAS.values(), ids=LUMAS)
def test_every_luma_equals_the_definition(luma, pair: tuple[Image, Image]) -> None:
    sr, hr = pair
    x, y = luma_plane(sr, luma), luma_plane(hr, luma)
    tolerance = 5e-5 if luma.single_precision else PSNR_TOLERANCE
    ours = psnr(sr, hr, colour="y", y_convention=luma.name)
    assert ours == pytest.approx(psnr_of(mean_squared_error(x, y)), abs=tolerance)
    expected = ssim_plane(x, y)
    assert ssim(sr, hr, colour="y", y_convention=luma.name) == pytest.approx(expected, abs=SSIM_TOLERANCE)


IMAGES = arrays(np.uint8, st.tuples(st.integers(11, 30), st.integers(11, 30), st.just(3)))


@settings(max_examples=60, deadline=None)
@given(hr=IMAGES, seed=st.integers(0, 1000), spread=st.sampled_from([0, 1, 3, 40, 255]), border=st.integers(0, 4))
def test_any_images_equal_the_definition(hr: Image, seed: int, spread: int, border: int) -> None:
    rng = np.random.default_rng(seed)
    sr = np.clip(hr.astype(int) + rng.integers(-spread, spread + 1, hr.shape), 0, 255).astype(np.uint8)
    if min(hr.shape[:2]) - 2 * border < 11:
        border = 0
    inner = slice(border, hr.shape[0] - border), slice(border, hr.shape[1] - border)
    x, y = sr[inner].astype(float), hr[inner].astype(float)
    expected = np.mean([ssim_plane(x[..., c], y[..., c]) for c in range(3)])
    assert ssim(sr, hr, border=border) == pytest.approx(expected, abs=SSIM_TOLERANCE)
    mse = mean_squared_error(x, y)
    ours = psnr(sr, hr, border=border)
    assert math.isinf(ours) if mse == 0 else ours == pytest.approx(psnr_of(mse), abs=PSNR_TOLERANCE)


def test_identical_images_are_infinite_and_one() -> None:
    hr = natural(40, 40)
    quality = evaluate_pair(hr, hr)
    assert quality.psnr_rgb == quality.psnr_y == math.inf
    assert quality.ssim_rgb == quality.ssim_y == 1.0


def test_threads_change_no_digit() -> None:
    sr, hr = natural(300, 200, 5), natural(300, 200, 6)
    assert ssim(sr, hr, threads=1) == ssim(sr, hr, threads=3)
    assert ssim(sr, hr, colour="y", threads=1) == ssim(sr, hr, colour="y", threads=4)


def test_images_may_be_read_only_or_strided() -> None:
    sr, hr = natural(40, 50, 7), natural(40, 50, 8)
    frozen = hr.copy()
    frozen.flags.writeable = False
    mirrored = ssim(sr[:, ::-1], frozen[:, ::-1])
    assert mirrored == pytest.approx(ssim(sr, hr), abs=1e-12)


def test_greyscale_counts_as_three_equal_channels() -> None:
    sr, hr = natural(40, 50, 7)[..., 0], natural(40, 50, 8)[..., 0]
    assert ssim(sr, hr) == pytest.approx(ssim_plane(sr.astype(float), hr.astype(float)), abs=SSIM_TOLERANCE)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_convention_is_one_sentence_and_measures(name: str) -> None:
    convention = CONVENTIONS[name]
    assert convention.sentence.startswith(name)
    assert convention.sentence.count(". ") == 0
    quality = evaluate_pair(natural(60, 60, 1), natural(60, 60, 2), name, scale=2)
    assert 0 < quality.psnr_rgb < 60


@pytest.mark.parametrize(
    ("sr", "hr", "message"),
    [
        (flat(0, 20), flat(0, 22), "20x20"),
        (flat(0, 20).astype(np.uint16), flat(0, 20), "uint16"),
        (flat(0, 20)[..., :2], flat(0, 20)[..., :2], "H x W x 3"),
        (flat(0, 10), flat(0, 10), "smaller than SSIM's window"),
    ],
)
def test_what_cannot_be_compared_says_why(sr: Image, hr: Image, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ssim(sr, hr)


def test_a_border_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="leaves nothing"):
        psnr(flat(0, 20), flat(1, 20), border=10)


def test_gaussian_taps_are_scipys() -> None:
    raw = windows.gaussian(11, 1.5)
    np.testing.assert_allclose(GAUSSIAN.taps, raw / raw.sum(), rtol=1e-14)
