"""``harness init``: a manifest that is proposed without executing anything of a repository."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.submissions.manifest import Manifest
from harness.submissions.model_tables import read_manifests
from harness.submissions.proposal import write

PROGRAM = """\
import os
from torch import nn
os.abort()  # nothing of this file may be executed

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return self.conv(x)

class {name}(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        self.{first} = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(Block(8), Block(8))
        self.tail = nn.Conv2d(8, 3 * scale**2, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.tail(self.body(self.{first}(x))), self.scale)
"""


def program(name: str = "Net", first: str = "head", arguments: str = "scale=2") -> str:
    return PROGRAM.format(name=name, first=first, arguments=arguments)


def saved(path: Path, scale: int, first: str = "head", wrapper: str = "") -> None:
    blocks = [nn.Sequential(), nn.Sequential()]
    for block in blocks:
        block.add_module("conv", nn.Conv2d(8, 8, 3))
    network = nn.Sequential()
    network.add_module(first, nn.Conv2d(3, 8, 3))
    network.add_module("body", nn.Sequential(*blocks))
    network.add_module("tail", nn.Conv2d(8, 3 * scale**2, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {f"{wrapper}{key}": value for key, value in network.state_dict().items()}
    torch.save({"params": state}, path)


def described(root: Path) -> dict[str, Manifest]:
    write(root)
    found = {one.name: one.manifest for one in read_manifests(root)}
    assert all(isinstance(one, Manifest) for one in found.values())
    return found  # type: ignore[return-value]


def test_checkpoints_are_matched_by_the_names_of_their_tensors(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "one.py").write_text(program("First", "head"))
    (tmp_path / "models" / "two.py").write_text(program("Second", "conv_first"))
    saved(tmp_path / "zoo" / "a.pth", 3, "conv_first")
    saved(tmp_path / "zoo" / "b.pth", 4, "head", "module.")
    found = described(tmp_path)
    assert {name: (one.factory, one.scales, one.weights) for name, one in found.items()} == {
        "a": ("models.two:Second", [3], {"x3": "zoo/a.pth"}),
        "b": ("models.one:First", [4], {"x4": "zoo/b.pth"}),
    }


def test_of_equal_classes_the_one_with_the_number_of_the_checkpoint_comes_first(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for team in ("01", "12", "23"):
        (tmp_path / "models" / f"team{team}_net.py").write_text(program(f"Net{team}"))
        saved(tmp_path / "model_zoo" / f"team{team}.pth", 4)
    found = described(tmp_path)
    assert sorted((one.factory, one.weights["x4"]) for one in found.values() if one.weights) == [
        (f"models.team{team}_net:Net{team}", f"model_zoo/team{team}.pth") for team in ("01", "12", "23")
    ]
    text = (tmp_path / "harness.toml").read_text()
    assert text.count('\nalternatives = ["models.team') == 3


def test_scales_of_one_network_are_one_model(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(program(arguments="width, scale, device"))
    for scale in (2, 3, 4):
        saved(tmp_path / f"net_x{scale}.pth", scale)
    (found,) = described(tmp_path).values()
    assert found.scales == [2, 3, 4]
    assert found.weights == {f"x{scale}": f"net_x{scale}.pth" for scale in (2, 3, 4)}
    assert "# ? its arguments: kwargs = { device = ? }\n" in (tmp_path / "harness.toml").read_text()


def test_a_scale_in_a_name_is_set_off_by_its_case(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(program())
    # The channels of the last convolution are those of other scales.
    for file, scale in (
        ("PANx2_DF2K", 4),
        ("PANx3_DF2K", 2),
        ("fastX4", 2),
        ("matrix3", 2),
        ("MAX8", 2),
        ("BOXx2up", 4),
    ):
        saved(tmp_path / f"{file}.pth", scale)
    found = {name: one.scales for name, one in described(tmp_path).items()}
    assert found == {"PAN_DF2K": [2, 3], "fast": [4], "matrix3": [2], "MAX8": [2], "BOXx2up": [4]}


def test_models_of_several_folders_keep_the_scales_in_their_names(tmp_path: Path) -> None:
    for scale in (2, 3):
        saved(tmp_path / f"x{scale}" / f"lesser_x{scale}.pth", scale)
        (tmp_path / f"x{scale}" / "net.py").write_text(program())
    found = described(tmp_path)
    assert {name: (one.factory, one.scales) for name, one in found.items()} == {
        "lesser_x2": ("x2.net:Net", [2]),
        "lesser_x3": ("x3.net:Net", [3]),
    }


def test_a_name_that_says_nothing_gives_way_to_one_that_does(tmp_path: Path) -> None:
    for file, name, first in (("vdsr", "Net", "entry"), ("model", "Named", "start"), ("network", "Model", "head")):
        (tmp_path / f"{file}.py").write_text(program(name, first))
        saved(tmp_path / file / "model_best.pth", 2, first)
    assert set(described(tmp_path)) == {"vdsr", "Named", "Model"}


def test_a_folder_that_is_no_package_is_the_one_that_code_runs_in(tmp_path: Path) -> None:
    (tmp_path / "team-7" / "model").mkdir(parents=True)
    (tmp_path / "team-7" / "model" / "net.py").write_text(program())
    (tmp_path / "src" / "lib").mkdir(parents=True)
    (tmp_path / "src" / "lib" / "inner.py").write_text("import common\n" + program("Inner", "start"))
    (tmp_path / "src" / "common.py").touch()
    saved(tmp_path / "a.pth", 2)
    saved(tmp_path / "b.pth", 2, "start")
    found = described(tmp_path)
    assert (found["a"].folder, found["a"].factory) == ("team-7", "model.net:Net")
    assert (found["b"].folder, found["b"].factory) == ("src", "lib.inner:Inner")


def test_what_is_not_described_is_a_comment(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(program())
    (tmp_path / "broken.py").write_text("class :\n")
    (tmp_path / "x2.onnx").touch()
    saved(tmp_path / "other.pth", 2, "nobody_has_this")
    (tmp_path / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    (found,) = described(tmp_path).values()
    assert (found.factory, found.scales) == ("harness.loaders:onnx", [2])
    text = (tmp_path / "harness.toml").read_text()
    assert re.search("^# other.pth: no class has the names", text, re.MULTILINE)
    assert re.search("^# pointer.pth: is a Git LFS pointer", text, re.MULTILINE)


def test_a_repository_may_be_named_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "net.py").write_text(program())
    saved(tmp_path / "repository" / "zoo" / "best_x2.pth", 2)
    (tmp_path / "link").symlink_to("repository")
    monkeypatch.chdir(tmp_path)
    for name in ("repository", "./link/"):
        (found,) = described(Path(name)).values()
        assert found.weights == {"x2": "zoo/best_x2.pth"}
        (tmp_path / "repository" / "harness.toml").unlink()


def test_nothing_is_overwritten_and_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint was found"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    saved(tmp_path / "zoo.pth", 2)
    with pytest.raises(
        UsageError, match=r"pointer.pth: is a Git LFS pointer.*; zoo.pth: no class has the names of its"
    ):
        write(tmp_path)
    (tmp_path / "submission.toml").write_text('[submission]\nname = "a"\nscales = [2]\n')
    with pytest.raises(UsageError, match="has a manifest already"):
        write(tmp_path)


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(program())
    saved(tmp_path / "net_x2.pth", 2)
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert result.exit_code == 0
    assert "harness.toml: 1 model. Try them with: harness check" in result.output
