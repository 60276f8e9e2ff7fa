"""``harness reparam`` from a submission to another submission."""

from pathlib import Path

import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from harness.cli import app
from harness.submissions.discovery import discover
from harness.worker.loader import load_network

ARCH = """
from torch import nn


def srmodel(scale=2):
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 12, 1), nn.PixelShuffle(2))
"""


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "submission.toml").write_text('[submission]\nname = "Mine"\nscales = [2]\n')
    (folder / "arch.py").write_text(ARCH)
    return folder


def test_collapsed_submission_is_written_and_loads(submission: Path, tmp_path: Path) -> None:
    target = tmp_path / "collapsed"
    result = CliRunner().invoke(app, ["reparam", str(submission), "--scale", "2", "-o", str(target)])
    assert result.exit_code == 0, result.output
    assert "Mine x2: automatic" in result.output
    assert "parameters 1,292 -> 336" in result.output
    (found,) = discover([target], entry_points=False)
    network = load_network(found.root, found.manifest.factory, 2, found.manifest.weights_for(2))
    assert sum(p.numel() for p in network.parameters()) == 336


def test_a_folder_in_use_is_refused(submission: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["reparam", str(submission), "-o", str(submission)])
    assert result.exit_code == 2


def test_a_scale_that_is_not_there_is_refused(submission: Path) -> None:
    assert CliRunner().invoke(app, ["reparam", str(submission), "--scale", "3"]).exit_code == 2


def test_an_onnx_model_is_written_beside_the_weights(submission: Path, tmp_path: Path) -> None:
    target = tmp_path / "collapsed"
    result = CliRunner().invoke(app, ["reparam", str(submission), "-o", str(target), "--onnx"])
    assert result.exit_code == 0, result.output
    (found,) = discover([target], entry_points=False)
    network = load_network(found.root, found.manifest.factory, 2, found.manifest.weights_for(2))
    session = onnxruntime.InferenceSession(target / "x2.onnx", providers=["CPUExecutionProvider"])
    image = torch.rand(1, 3, 37, 50)
    (upscaled,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(upscaled), network.eval()(image), rtol=0, atol=1e-5)


def test_onnx_without_a_folder_is_refused(submission: Path) -> None:
    result = CliRunner().invoke(app, ["reparam", str(submission), "--onnx"])
    assert result.exit_code == 2
    assert "--output" in result.output
