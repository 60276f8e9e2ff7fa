"""Model files beside checkpoints of the same name."""

import pytest
import torch
from torch import nn

from harness.errors import CheckpointError, UnsupportedError
from harness.submissions.discovery import discover, skipped_note
from harness.worker.loader import Declared, load

MODELS = """
import torch
from torch import nn
{imports}

class Part(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Net(nn.Module):
    def __init__(self, scale=2, channels=4):
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.part = Part(channels)
        self.tail = nn.Sequential(nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x):
        return self.tail(self.part(self.head(x)))


class Loss(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.register_buffer("kernel", torch.ones(3, 3))
"""


def state(scale):
    torch.manual_seed(scale)
    names = {"head": nn.Conv2d(3, 4, 3), "part.conv": nn.Conv2d(4, 4, 3), "tail.0": nn.Conv2d(4, 3 * scale**2, 3)}
    return {f"{name}.{key}": tensor for name, conv in names.items() for key, tensor in conv.state_dict().items()}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mine"
    for name in ("models", "model_zoo"):
        (folder / name).mkdir(parents=True)
    (folder / "models" / "__init__.py").touch()
    (folder / "models" / "my_net.py").write_text(MODELS.format(imports="from .common import nothing"))
    (folder / "models" / "common.py").write_text("nothing = None\n")
    (folder / "models" / "lacks.py").write_text(MODELS.format(imports="import mamba_ssm"))
    (folder / "models" / "other.py").write_text(MODELS.format(imports=""))
    torch.save({"params_ema": state(2)}, folder / "model_zoo" / "MyNet_x2.pth")
    torch.save(state(3), folder / "model_zoo" / "my_net_x3.pth")
    torch.save(state(2), folder / "model_zoo" / "lacks.pth")
    torch.save({"body": torch.ones(3)}, folder / "model_zoo" / "other.pth")
    return folder


def loaded(one, scale):
    declared = Declared(False, one.manifest.requires)
    return load(one.root, one.manifest.factory, scale, one.manifest.weights_for(scale), declared=declared)


def test_each_pair_is_a_submission_with_the_class_of_its_checkpoint(folder):
    found = {one.name: one for one in discover([folder], entry_points=False, cache_dir=folder.parent / "cache")}
    assert sorted(found) == ["lacks", "my_net", "other"]
    mine = found["my_net"]
    assert mine.manifest.weights == {"x2": "model_zoo/MyNet_x2.pth", "x3": "model_zoo/my_net_x3.pth"}
    assert not (mine.root / "models" / "lacks.py").exists()
    for scale in (2, 3):
        result = loaded(mine, scale)
        assert result.network.state_dict()["tail.0.weight"].equal(state(scale)["tail.0.weight"])
        assert "Net(scale, channels)" in " ".join(result.notes)
    with pytest.raises(UnsupportedError, match=r"^models/lacks.py: imports .* mamba-ssm\. .ip install .*no wheel"):
        loaded(found["lacks"], 2)
    with pytest.raises(CheckpointError, match=r"fits no class of models\.other"):
        loaded(found["other"], 2)


def test_a_folder_of_submissions_is_no_pair_of_one_and_another(tmp_path):
    for name, file in (("first", "net.py"), ("second", "net.pth")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("")
    names = [one.name for one in discover([tmp_path], entry_points=False, cache_dir=tmp_path / "cache")]
    assert names == ["first", "second"]


def test_files_of_their_own_beside_a_pair_are_not_lost(tmp_path):
    (tmp_path / "net.py").write_text("")
    for name in ("net.pth", "other.pth"):
        torch.save(state(3), tmp_path / name)
    names = [one.name for one in discover([tmp_path], entry_points=False, cache_dir=tmp_path / "cache")]
    assert names == ["net", "other"]


def test_a_model_file_and_its_checkpoint_in_one_folder(tmp_path):
    (tmp_path / "net.py").write_text(MODELS.format(imports=""))
    torch.save(state(3), tmp_path / "net.pth")
    (one,) = discover([tmp_path], entry_points=False, cache_dir=tmp_path / "cache")
    assert loaded(one, 3).network.tail[1].upscale_factor == 3
    with pytest.raises(CheckpointError, match=r"tail\.0\.weight"):
        loaded(one, 2)


def test_checkpoints_that_no_model_file_has_the_name_of_are_named(folder):
    assert skipped_note([folder]) == ""
    for name in ("efdn_gv.pth", "efdn x2.pth"):
        torch.save(state(3), folder / "model_zoo" / name)
    said = skipped_note([folder])
    assert said.startswith("skipped: model_zoo/efdn x2.pth, model_zoo/efdn_gv.pth (no model file has their names;")
    assert f"`harness init {folder}`" in said


def test_a_folder_without_init_is_a_package(folder):
    (folder / "models" / "__init__.py").unlink()
    (folder / "models" / "my_net.py").write_text(MODELS.format(imports="from models import common"))
    (one,) = discover([folder], only=["my_net"], entry_points=False)
    assert (one.root / "models" / "common.py").is_file()
    assert loaded(one, 2).network is not None
