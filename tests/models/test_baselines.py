"""Compare the interpolations with Pillow, torch and closed forms."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

Build = Callable[[str, int], nn.Module]

SCALES = (2, 3, 4)
NAMES = ("Bicubic", "Nearest", "Bilinear", "Lanczos", "PillowBicubic")


def _frame(low: int, high: int, height: int = 23, width: int = 37) -> np.ndarray:
    return np.random.default_rng(3).integers(low, high, (height, width, 3), dtype=np.uint8)


def _upscale(network: nn.Module, frame: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        output = network(torch.from_numpy(frame).permute(2, 0, 1)[None] / 255)
    return (output[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()


def _pillow(frame: np.ndarray, scale: int, method: Image.Resampling) -> np.ndarray:
    size = (scale * frame.shape[1], scale * frame.shape[0])
    return np.array(Image.fromarray(frame).resize(size, method)).astype(float)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_a_flat_image_stays_flat_and_grows(build: Build, name: str, scale: int) -> None:
    with torch.inference_mode():
        output = build(name, scale)(torch.full((1, 3, 9, 14), 100 / 255))
    assert output.shape == (1, 3, 9 * scale, 14 * scale)
    torch.testing.assert_close(output, torch.full_like(output, 100 / 255), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_baselines_have_nothing_to_load(build: Build, name: str) -> None:
    assert not build(name, 2).state_dict()


@pytest.mark.parametrize("scale", SCALES)
def test_bicubic_is_the_reference_of_the_score(build: Build, scale: int) -> None:
    frame = torch.rand(1, 3, 21, 34)
    direct = functional.interpolate(frame, scale_factor=scale, mode="bicubic", align_corners=False)
    assert direct.min() < 0
    assert torch.equal(build("Bicubic", scale)(frame), direct.clamp(0, 1))


@pytest.mark.parametrize("scale", SCALES)
def test_lanczos_agrees_with_pillow(build: Build, scale: int) -> None:
    frame = _frame(90, 166)  # no overshoot, which Pillow would clip between the axes
    difference = _upscale(build("Lanczos", scale), frame) - _pillow(frame, scale, Image.Resampling.LANCZOS)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("scale", SCALES)
def test_lanczos_passes_through_the_samples_of_an_odd_scale(build: Build, scale: int) -> None:
    frame = torch.rand(1, 2, 11, 12)
    output = build("Lanczos", scale)(frame)
    middle = output[:, :, scale // 2 :: scale, scale // 2 :: scale]
    assert (scale % 2 == 1) == torch.allclose(middle, frame, atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_pillow_bicubic_is_pillow(build: Build, scale: int) -> None:
    frame = _frame(0, 256)
    assert np.array_equal(
        _upscale(build("PillowBicubic", scale), frame), _pillow(frame, scale, Image.Resampling.BICUBIC)
    )


def test_pillow_bicubic_gives_the_shape_of_a_batch_without_values(build: Build) -> None:
    assert build("PillowBicubic", 3)(torch.empty(2, 3, 10, 20, device="meta")).shape == (2, 3, 30, 60)
    assert build("PillowBicubic", 3)(torch.rand(2, 3, 10, 20)).shape == (2, 3, 30, 60)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("name", "method"), [("Nearest", "NEAREST"), ("Bilinear", "BILINEAR")])
def test_simple_interpolations_agree_with_pillow(build: Build, name: str, method: str, scale: int) -> None:
    frame = _frame(0, 256)
    difference = _upscale(build(name, scale), frame) - _pillow(frame, scale, Image.Resampling[method])
    assert np.abs(difference).max() <= (0 if name == "Nearest" else 1)
