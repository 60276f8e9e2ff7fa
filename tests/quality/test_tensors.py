"""Torch tensors on any device give the same results as arrays."""

import math

import numpy as np
import pytest
import torch

from harness.errors import DataError
from harness.quality import GAUSSIAN, LUMAS, UNIFORM, evaluate_pair, psnr, ssim
from harness.quality.pair import make_pair
from harness.quality.tensors import TensorPair, to_bytes


def image(seed: int, height: int = 70, width: int = 90) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = 128 + 90 * np.sin(np.add.outer(np.arange(height) / 7, np.arange(width) / 11))[..., None]
    return np.clip(smooth + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    return image(0), image(1)


def forms(array: np.ndarray) -> dict[str, torch.Tensor]:
    pixels = torch.from_numpy(array)
    planes = pixels.permute(2, 0, 1)
    return {
        "H x W x 3": pixels,
        "3 x H x W": planes,
        "1 x 3 x H x W": planes[None],
        "floating point": planes[None].float() / 255,
        "half precision": (planes[None].float() / 255).half(),
    }


@pytest.mark.parametrize("form", forms(image(0)))
def test_every_form_of_tensor_is_the_same_image(arrays, form: str) -> None:
    sr, hr = arrays
    assert evaluate_pair(forms(sr)[form], hr) == evaluate_pair(sr, hr)
    assert evaluate_pair(forms(sr)[form], forms(hr)[form]) == evaluate_pair(sr, hr)


@pytest.mark.parametrize("luma", LUMAS.values(), ids=LUMAS)
@pytest.mark.parametrize("border", [0, 3])
def test_the_device_path_gives_the_kernels_figures(arrays, luma, border: int) -> None:
    kernels = make_pair(*arrays, border)
    device = TensorPair(*map(torch.from_numpy, arrays), (border, 70 - border, border, 90 - border))
    assert device.mse_rgb() == kernels.mse_rgb()
    assert device.mse_luma(luma) == pytest.approx(kernels.mse_luma(luma), rel=1e-5 if luma.single_precision else 1e-12)
    for window in (GAUSSIAN, UNIFORM):
        assert device.ssim_rgb(window) == pytest.approx(kernels.ssim_rgb(window), abs=1e-12)
        assert device.ssim_luma(window, luma) == pytest.approx(kernels.ssim_luma(window, luma), abs=1e-12)


def test_strips_of_a_tall_image_join() -> None:
    tall = image(0, 600, 20), image(1, 600, 20)
    device = TensorPair(*map(torch.from_numpy, tall), (0, 600, 0, 20))
    assert device.ssim_rgb(GAUSSIAN) == pytest.approx(ssim(*tall), abs=1e-12)


@pytest.mark.gpu
def test_on_an_accelerator(arrays) -> None:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        pytest.skip("needs an accelerator")
    sr, hr = arrays
    ours, theirs = evaluate_pair(torch.from_numpy(sr).to(accelerator), hr), evaluate_pair(sr, hr)
    assert ours.psnr_rgb == theirs.psnr_rgb
    assert ours.psnr_y == pytest.approx(theirs.psnr_y, abs=1e-6)
    assert ours.ssim_rgb == pytest.approx(theirs.ssim_rgb, abs=1e-7)
    assert ours.ssim_y == pytest.approx(theirs.ssim_y, abs=1e-7)


def test_rounding_and_clamping_of_floats() -> None:
    values = torch.tensor([-1.0, 0.0, 0.5 / 255, 1.5 / 255, 254.6 / 255, 1.0, 7.0])
    frame = values.expand(3, 7, 7)[None]
    np.testing.assert_array_equal(to_bytes(frame)[0, :, 0], [0, 0, 0, 2, 255, 255, 255])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    frame = torch.zeros(1, 3, 16, 16)
    frame[0, 1, 2, 3] = bad
    with pytest.raises(DataError, match="not finite"):
        psnr(frame, frame)


def test_an_image_from_0_to_255_is_not_taken_for_white() -> None:
    frame = torch.full((1, 3, 16, 16), 200.0)
    with pytest.raises(DataError, match=r"values up to 200, not up to 1\. Divide it by 255"):
        psnr(frame, frame)


def test_a_tensor_that_is_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="not one RGB image"):
        psnr(torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16))
