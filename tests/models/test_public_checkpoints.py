"""Released checkpoints load strictly and reproduce released figures: the architectures are the authors' own."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

Build = Callable[[str, int], nn.Module]
Convert = Callable[[nn.Module], nn.Module]


def _released_rt4ksr(build: Build, shared: Path) -> nn.Module:
    stored = torch.load(shared / "weights" / "rt4ksr_x2.pth", map_location="cpu", weights_only=True)
    network = build("RT4KSR", 2)
    network.load_state_dict({name.removeprefix("module."): value for name, value in stored["state_dict"].items()})
    return network


def _degrade(hr: Image.Image, scale: int) -> np.ndarray:
    """Return the challenge's LR: Pillow bicubic, JPEG quality 90; sides of ``hr`` are multiples of ``scale``."""
    buffer = io.BytesIO()
    size = (hr.width // scale, hr.height // scale)
    hr.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return np.array(Image.open(buffer).convert("RGB"))


def _upscale(network: nn.Module, lr: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        output = network(torch.from_numpy(lr).permute(2, 0, 1)[None] / 255)
    return (output[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def _psnr(sr: np.ndarray, hr: np.ndarray) -> float:
    return float(20 * np.log10(255) - 10 * np.log10(np.mean((sr.astype(float) - hr.astype(float)) ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["training", "inference"])
def test_rt4ksr_reproduces_the_released_figures(build: Build, to_inference: Convert, shared: Path, form: str) -> None:
    network = _released_rt4ksr(build, shared)
    network = to_inference(network) if form == "inference" else network
    with (shared / "published" / "expected_rt4ksr.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    for row in rows:
        path = shared / "data" / row["set"] / "HR" / f"{row['image']}.png"
        hr = Image.open(path).convert("RGB")
        psnr = _psnr(_upscale(network, _degrade(hr, 2)), np.array(hr))
        assert psnr == pytest.approx(float(row["psnr_rgb"]), abs=0.001), row["image"]


def test_rt4ksr_ignores_its_second_branch_where_gamma_is_zero(build: Build, shared: Path) -> None:
    network = _released_rt4ksr(build, shared)
    frame = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        released = network(frame)
        network.hfb[0].reduce_conv.weight.mul_(3)  # type: ignore[index, union-attr, operator]
        assert torch.equal(network(frame), released)
        network.gamma.fill_(0.5)  # type: ignore[operator]
        assert not torch.allclose(network(frame), released, atol=1e-3)


def test_bicubic_plus_plus_beats_bicubic_with_its_released_weights(build: Build, shared: Path) -> None:
    network = build("BicubicPP", 3)
    network.load_state_dict(torch.load(shared / "weights" / "bicubic_pp_x3.pth", weights_only=True))
    for name in ("bird", "butterfly"):
        image = Image.open(shared / "data" / "Set5" / "HR" / f"{name}.png").convert("RGB").crop((0, 0, 240, 240))
        lr, hr = _degrade(image, 3), np.array(image)
        assert _psnr(_upscale(network, lr), hr) > _psnr(_upscale(build("Bicubic", 3), lr), hr) + 0.5
