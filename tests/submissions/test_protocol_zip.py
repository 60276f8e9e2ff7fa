"""A zip in the layout of the NTIRE 2023 protocol runs unchanged, from file to image."""

import zipfile
from pathlib import Path

import pytest
import torch

from harness.submissions.discovery import discover
from harness.worker.loader import load

ARCH = """
import os
import torch
from {package}modules import Net

def srmodel():
    model = Net()
    here = os.path.dirname(os.path.abspath(__file__))
    {loading}
    return model
"""
MODULES = """
import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        return self.body(x)
"""
ITSELF = 'model.load_state_dict(torch.load(os.path.join(here, "checkpoint.pth"))["params"], strict=True)'


def pack(path: Path, package: str, loading: str, top: str) -> None:
    state = {"body.0.weight": torch.full((12, 3, 3, 3), 0.125), "body.0.bias": torch.zeros(12)}
    torch.save({"params": state}, path.with_suffix(".pth"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{top}arch.py", ARCH.format(package=package, loading=loading))
        archive.writestr(f"{top}utils/modules.py", MODULES)
        archive.writestr(f"{top}utils/config.yaml", "channels: 12\n")
        archive.writestr(f"{top}results/1.png", b"\x89PNG")
        archive.writestr(f"{top}requirements.txt", "torch==1.13.1\n")
        archive.write(path.with_suffix(".pth"), f"{top}checkpoint.pth")
    path.with_suffix(".pth").unlink()


@pytest.mark.parametrize("package", ["utils.", ".utils."])
@pytest.mark.parametrize("loading", ["pass", ITSELF])
@pytest.mark.parametrize("top", ["", "submission_7/"])
def test_a_zip_runs_unchanged(tmp_path, package, loading, top):
    pack(tmp_path / "submission_7.zip", package, loading, top)
    (one,) = discover([tmp_path], entry_points=False, cache_dir=tmp_path / "cache")
    assert (one.name, one.origin) == ("submission_7", "zip")
    loaded = load(one.root, one.manifest.factory, 2, one.manifest.weights_for(2))
    frame = torch.full((1, 3, 6, 7), 0.5)
    assert loaded.network(frame).shape == (1, 3, 12, 14)
    assert loaded.network(frame)[0, 0, 4, 4].item() == pytest.approx(27 * 0.125 * 0.5)
    assert len(loaded.notes) == 1
    assert loaded.notes[0].startswith("requirements.txt asks for torch==1.13.1 (")


def test_the_public_checkpoint_of_rt4ksr_in_a_zip(root, shared, tmp_path):
    path = tmp_path / "rt4ksr.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(root / "submissions" / "RT4KSR" / "arch.py", "arch.py")
        archive.write(shared / "weights" / "rt4ksr_x2.pth", "checkpoint.pth")
    (one,) = discover([path], entry_points=False, cache_dir=tmp_path / "cache")
    loaded = load(one.root, one.manifest.factory, 2, one.manifest.weights_for(2))
    public = torch.load(shared / "weights" / "rt4ksr_x2.pth", map_location="cpu", weights_only=True)["state_dict"]
    state = loaded.network.state_dict()
    assert all(torch.equal(state[key.removeprefix("module.")], value) for key, value in public.items())
    assert loaded.notes == []
