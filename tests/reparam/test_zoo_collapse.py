"""Models of the repository collapse to the published parameter counts without their authors' methods."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from harness.reparam import reparameterize
from harness.worker.loader import load_network

NO_SUCH_HOOK = "a hook that does not exist"


def network_of(root: Path, name: str, scale: int) -> nn.Module:
    torch.manual_seed(0)
    return load_network(root / "submissions" / name, "arch:srmodel", scale, None)


@pytest.fixture(scope="module")
def frames(shared: Path) -> list[Tensor]:
    paths = sorted((shared / "data" / "Set5").rglob("*.png"))[:2]
    pixels = [np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255 for path in paths]
    return [torch.from_numpy(image).permute(2, 0, 1)[None, :, :120, :160] for image in pixels]


@pytest.mark.parametrize(
    ("name", "scale", "before", "after"),
    [
        ("LRSRN", 2, 333_196, 41_356),
        ("LRSRN", 3, 426_166, 45_691),
        ("SESR", 2, None, 17_628 + 80),  # and the slopes of PReLU
        ("SESR", 3, None, 23_643 + 80),
    ],
)
def test_collapse_reaches_the_inference_count(root, frames, name, scale, before, after) -> None:
    network = network_of(root, name, scale)
    outcome = reparameterize(network, hook=NO_SUCH_HOOK, frames=frames)
    assert outcome.record.method == "automatic"
    assert before in (None, outcome.record.params_before)
    assert outcome.record.params_after == after
    assert outcome.record.max_abs_error < 1e-5


def test_rt4ksr_with_its_public_weights(root, shared, frames) -> None:
    network = network_of(root, "RT4KSR", 2)
    state = torch.load(shared / "weights" / "rt4ksr_x2.pth", map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    outcome = reparameterize(network, hook=NO_SUCH_HOOK, frames=frames, size_multiple=2)
    assert outcome.record.method == "automatic"
    assert (outcome.record.params_before, outcome.record.params_after) == (152_233, 44_521)
    assert outcome.record.max_abs_error < 1e-5
    author = reparameterize(network, hook="reparameterize", frames=frames, size_multiple=2)
    assert author.record.method == "author: reparameterize"
    assert author.record.params_after == 44_521
    x = frames[0][..., :62, :50]
    torch.testing.assert_close(outcome.network(x), author.network(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "scale"), [("FSRCNN", 2), ("IMDN", 2), ("BicubicPP", 2), ("BicubicPP", 3)])
def test_nothing_to_collapse_costs_a_few_forward_passes(root, frames, name, scale, monkeypatch) -> None:
    network = network_of(root, name, scale)
    passes = counted_passes(network, monkeypatch)
    outcome = reparameterize(network, frames=frames)
    assert 0 < len(passes) <= 12
    assert outcome.network is network
    assert outcome.record.method == "none"


@pytest.mark.parametrize("name", ["LRSRN", "RT4KSR", "SESR", "RTVSR", "SCSRN", "CRC", "TeamOV", "ALONG", "RTSRN"])
def test_every_model_is_collapsed_in_few_forward_passes_and_keeps_its_output(root, frames, name, monkeypatch) -> None:
    network = network_of(root, name, 2)
    passes = counted_passes(network, monkeypatch)
    outcome = reparameterize(network, hook=NO_SUCH_HOOK, frames=frames)
    assert 0 < len(passes) <= 40
    x = frames[1][..., :60, :66]
    torch.testing.assert_close(outcome.network(x), network(x), atol=1e-5, rtol=1e-5)


def counted_passes(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Return a list that grows by the size of the input at each forward pass of the network or a copy."""
    forward, sizes = type(network).forward, []

    def counted(self: nn.Module, x: Tensor) -> Tensor:
        sizes.append(x.shape)
        return forward(self, x)

    monkeypatch.setattr(type(network), "forward", counted)
    return sizes
