"""Shipped weights are complete, small, logged and listed, and exceed the PSNR of interpolation."""

import json
from pathlib import Path

import pytest
import torch

from training.collapse import collapse
from training.evaluate import bicubic
from training.network import SUBMISSIONS, load_trainee, load_weights
from training.validation import load_images, psnr_per_image

STORED = sorted(SUBMISSIONS.glob("*/weights/x*.safetensors"))
NAMES = [f"{path.parent.parent.name}-{path.stem}" for path in STORED]


def test_all_weights_together_stay_under_twelve_megabytes() -> None:
    assert sum(path.stat().st_size for path in STORED) <= 12e6


@pytest.mark.parametrize("path", STORED, ids=NAMES)
def test_weights_have_a_log_and_a_row_in_the_table(path: Path, root: Path) -> None:
    log = json.loads(path.with_suffix(".json").read_text())
    assert log["model"] == path.parent.parent.name
    assert f"x{log['scale']}" == path.stem
    assert log["steps"] == log["curve"][-1][0]
    assert log["validation"]["psnr_rgb_db"] == log["curve"][-1][3]
    assert f"| {log['model']} x{log['scale']} | Set14 |" in (root / "docs" / "baselines.md").read_text()


@pytest.mark.parametrize("path", STORED, ids=NAMES)
def test_weights_beat_bicubic_on_an_image_never_seen(path: Path, shared: Path) -> None:
    scale = int(path.stem[1:])
    trainee = load_trainee(path.parent.parent.name, scale)
    load_weights(trainee.network, path)
    collapse(trainee.network)
    trainee.network.eval()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    butterfly = [image for image in load_images(shared / "data" / "Set5" / "HR", scale) if image.name == "butterfly"]
    ours = psnr_per_image(trainee.upscale, butterfly)["butterfly"]
    reference = psnr_per_image(bicubic(scale), butterfly)["butterfly"]
    torch.set_num_threads(before)
    assert ours > reference + 0.2
