"""What published code does, as small networks in ``tests/fixtures/wild``, all described by one manifest."""

import shutil
import sys
import types
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from harness.errors import ContractError, SubmissionError, UnsupportedError
from harness.submissions.checkpoint import read_state_dict
from harness.submissions.model_tables import read_manifests
from harness.worker.contract import check_network, find_size_multiple
from harness.worker.loader import Declared, Loaded, load

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "wild"


class Callback:
    """What a training framework pickles beside the weights."""


def convolutions(**shapes: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    """Return a state dict of convolutions: inputs, outputs and size of the kernel by name."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, (given, made, side) in shapes.items():
        key = name.replace("__", ".")
        state[f"{key}.weight"] = torch.randn(made, given, side, side, generator=generator) / 9
        state[f"{key}.bias"] = torch.randn(made, generator=generator) / 9
    return state


def checkpoints() -> dict[str, dict]:
    plain = convolutions(head=(3, 6, 3), body__0=(6, 6, 3), body__1=(6, 6, 3), tail=(6, 12, 3))
    settings = {key.replace("tail.", "tail.0."): value for key, value in plain.items()}
    ends = convolutions(head=(3, 8, 3), tail__0=(8, 12, 3))
    training = {**ends, **convolutions(block__wide=(8, 8, 3), block__point=(8, 8, 1))}
    merged = training["block.wide.weight"] + functional.pad(training["block.point.weight"], (1, 1, 1, 1))
    bias = training["block.wide.bias"] + training["block.point.bias"]
    inference = {**ends, "block.reparam.weight": merged, "block.reparam.bias": bias}
    return {
        "plain.pth": plain,
        "settings.pth": settings,
        "inference.pth": {"params": inference},
        "both.pth": {"params": {**training, **inference}},
        "sequential.pth": convolutions(**{"0": (3, 12, 3)}),
    }


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wild") / "repository"
    shutil.copytree(FIXTURE, root)
    for name, state in checkpoints().items():
        torch.save(state, root / "weights" / name)
    framework = types.ModuleType("pytorch_lightning")
    Callback.__module__, framework.Callback = "pytorch_lightning", Callback
    sys.modules["pytorch_lightning"] = framework
    state = {"state_dict": checkpoints()["sequential.pth"], "callbacks": {"checkpoint": Callback()}}
    torch.save(state, root / "weights" / "lightning.ckpt")
    del sys.modules["pytorch_lightning"]
    return root


def loaded(root: Path, name: str) -> Loaded:
    (found,) = [one.manifest for one in read_manifests(root) if one.name == name]
    return load(root, found.factory, 2, found.weights_for(2), declared=Declared.of(found))


def output(one: Loaded) -> torch.Tensor:
    image = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return one.network(image)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("plain", ""),
        ("sizes from the checkpoint", "nf = 6, nb = 2, read off the checkpoint"),
        ("other sizes than the defaults", "nf = 6, nb = 2, read off the checkpoint"),
        ("settings from the manifest", ""),
        ("settings from the code", "args.n_feats = 6, args.n_resblocks = 2, read off the checkpoint"),
        ("tuple", "returns a tuple of 3: measured 1, the first of 2 images"),
        ("tuple, chosen", ""),
        ("dictionary", "returns a dict of 2: measured image, the only image"),
        ("pads inside", ""),
        ("luma", "takes Y only"),
        ("BGR", "takes and returns BGR"),
        ("half inside", "computes in half precision inside"),
        ("folder of its own", ""),
        ("registered", ""),
        ("generated version", ""),
        ("inference form, converted", "called switch_to_deploy before loading"),
        ("inference form, by a flag", "called with deploy = true"),
        ("both forms", "holds|left out the training form"),
        ("Lightning checkpoint", ""),
    ],
)
def test_it_upscales(wild: Path, name: str, note: str) -> None:
    one = loaded(wild, name)
    assert find_size_multiple(one.network, 2) == 1
    assert output(one).shape == (1, 3, 34, 46)
    assert any(part in " ".join(one.notes) for part in note.split("|"))
    if not note:
        assert one.notes == []


def test_all_models_of_the_manifest_are_tried(wild: Path) -> None:
    (mark,) = test_it_upscales.pytestmark
    assert [name for name, _ in mark.args[1]] == [one.name for one in read_manifests(wild)]
