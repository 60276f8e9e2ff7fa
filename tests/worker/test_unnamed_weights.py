"""A network for which nobody names a checkpoint is not measured with random parameters in silence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.worker.loader import Declared, Loaded, load

NET = """\
import os
import numpy
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))

class Net(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * scale ** 2, 3, padding=1)
        self.up = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.up(self.conv(x))
"""
PLAIN = "def srmodel():\n    return Net()\n"
STATE = {"conv.weight": torch.full((12, 3, 3, 3), 0.5), "conv.bias": torch.zeros(12)}
MANIFEST = '[submission]\nname = "a"\nscales = [2]\n'


def write(tmp_path: Path, factory: str = PLAIN, *checkpoints: str, manifest: str = "") -> Path:
    (tmp_path / "arch.py").write_text(NET + factory)
    for name in checkpoints:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".safetensors":
            save_file(STATE, path)
        else:
            torch.save(STATE, path)
    if manifest:
        (tmp_path / "submission.toml").write_text(manifest)
    return tmp_path


def loaded(root: Path, declared: Declared | None = None) -> Loaded:
    return load(root, "arch:srmodel", 2, None, declared=declared)


def is_filled(one: Loaded) -> bool:
    return float(one.network.conv.weight.mean()) == 0.5


@pytest.mark.parametrize("name", ["best.pth", "Checkpoint.pth", "weights/checkpoint.pth", "x.PT", "net.safetensors"])
def test_the_only_checkpoint_is_loaded_with_a_note(tmp_path: Path, name: str) -> None:
    one = loaded(write(tmp_path, PLAIN, name))
    assert is_filled(one)
    (note,) = one.notes
    assert f"loaded {name}, the only checkpoint" in note
    assert f'x2 = "{name}" under [weights]' in note


def test_several_are_named_and_none_is_loaded(tmp_path: Path) -> None:
    one = loaded(write(tmp_path, PLAIN, "best.pth", "last.pth"))
    assert not is_filled(one)
    (note,) = one.notes
    assert note.startswith("no checkpoint was loaded, its parameters are random; there is best.pth, last.pth: ")
    assert 'x2 = "FILE" under [weights] in submission.toml' in note


def test_one_that_does_not_fit_is_named_and_the_network_stays_as_it_is(tmp_path: Path) -> None:
    root = write(tmp_path)
    torch.save({"conv.weight": STATE["conv.weight"]}, root / "best.pth")
    one = loaded(root)
    assert not is_filled(one)
    (note,) = one.notes
    assert "there is best.pth (does not fit the network" in note


def test_where_there_is_none_it_is_said(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "results").mkdir()
    torch.save(STATE, root / "results" / "best.pth")
    assert "its folder has none: add one, as checkpoint.pth" in loaded(root).notes[0]
    assert "or set needs_weights = true" in loaded(write(tmp_path, manifest=MANIFEST)).notes[0]


READING = [
    'net.load_state_dict(torch.load(HERE + "/mine.pth"))',
    'net.conv.weight.data[:] = torch.from_numpy(numpy.load(HERE + "/mine.npy"))',
    'from safetensors.torch import load_file; net.load_state_dict(load_file(HERE + "/mine.safetensors"))',
    "[nn.init.constant_(one, 0.5) for one in net.parameters()]",
]


@pytest.mark.parametrize("statement", READING)
def test_a_factory_that_makes_or_reads_its_weights_is_left_alone(tmp_path: Path, statement: str) -> None:
    factory = f"def srmodel():\n    net = Net()\n    {statement}\n    return net\n"
    root = write(tmp_path, factory, "mine.pth", "mine.safetensors")
    np.save(root / "mine.npy", STATE["conv.weight"].numpy())
    one = loaded(root)
    assert is_filled(one)
    assert one.notes == []


def test_a_network_without_parameters_has_no_note(tmp_path: Path) -> None:
    factory = "def srmodel():\n    return nn.Upsample(scale_factor=2)\n"
    assert loaded(write(tmp_path, factory, "best.pth")).notes == []


@pytest.mark.parametrize("more", ["needs_weights = true\n", "[weights]\n"])
def test_a_network_that_is_declared_to_be_untrained_has_no_note(tmp_path: Path, more: str) -> None:
    one = loaded(write(tmp_path, PLAIN, "best.pth", manifest=MANIFEST + more))
    assert not is_filled(one)
    assert one.notes == []


def test_paths_are_those_of_the_manifest_where_the_code_lies_in_a_folder_of_it(tmp_path: Path) -> None:
    manifest = f'{MANIFEST}folder = "src"\n'
    root = write(tmp_path, PLAIN, "weights/best.pth", manifest=manifest)
    (root / "src").mkdir()
    (root / "arch.py").rename(root / "src" / "arch.py")
    one = loaded(root)
    assert is_filled(one)
    assert 'write x2 = "weights/best.pth" under [weights] in submission.toml' in one.notes[0]
