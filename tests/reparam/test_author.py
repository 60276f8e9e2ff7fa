"""The author's method: found by many names, called on a copy, verified; its failures are handled."""

import copy
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.reparam import reparameterize


class TwoBranches(nn.Module):
    """Minimal training form: two parallel 3x3 convolutions."""

    def __init__(self, channels_in: int = 3, channels_out: int = 3) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.two: nn.Conv2d | None = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) if self.two is None else self.one(x) + self.two(x)

    def merge_into_one(self, wrong: float = 0.0) -> None:
        assert self.two is not None
        self.one.weight.data += self.two.weight.data + wrong
        self.one.bias.data += self.two.bias.data
        self.two = None


class InPlace(TwoBranches):
    def fuse_model(self) -> None:
        self.merge_into_one()


class NewNetwork(TwoBranches):
    """Its converter returns another network and, like some published ones, breaks the live one."""

    def reparameterize(self) -> nn.Module:
        self.merge_into_one()
        conv = copy.deepcopy(self.one)
        self.one.weight.data.zero_()
        return conv


class Block(TwoBranches):
    def switch_to_deploy(self) -> None:
        self.merge_into_one()


class ReturningBlock(TwoBranches):
    def switch_to_deploy(self) -> nn.Module:
        self.merge_into_one()
        return self.one


class Wrong(TwoBranches):
    def fuse_model(self) -> None:
        self.merge_into_one(wrong=0.01)


class Crashing(TwoBranches):
    def fuse_model(self) -> None:
        self.one.weight.data.zero_()
        raise RuntimeError("CUDA is needed\nand more lines")


class BrokenAfterwards(TwoBranches):
    def fuse_model(self) -> None:
        self.merge_into_one()
        self.one.weight = nn.Parameter(torch.zeros(3, 5, 3, 3))


class NeedsArgument(TwoBranches):
    def reparameterize(self, teacher: nn.Module) -> None:
        raise AssertionError("must not be called")


class FirstForward(TwoBranches):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.two is not None:
            self.merge_into_one()
        return y


class Unshuffled(TwoBranches):
    """Network that accepts multiples of 3 only."""

    def __init__(self) -> None:
        super().__init__(27, 27)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(super().forward(F.pixel_unshuffle(x, 3)), 3)

    def fuse_model(self) -> None:
        self.merge_into_one()


def convert_it(network: "OutsideFunction") -> nn.Module:
    network.merge_into_one()
    return network.one


class OutsideFunction(TwoBranches):
    pass


@pytest.fixture
def frames() -> list[Tensor]:
    ramp = torch.linspace(0, 1, 90).expand(1, 3, 70, 90)
    return [ramp.clone(), (ramp * ramp.flip(-1)).clone()]


@pytest.mark.parametrize(
    ("network", "hook", "method"),
    [
        (InPlace(), None, "fuse_model"),
        (InPlace(), "fuse_model", "fuse_model"),
        (NewNetwork(), None, "reparameterize"),
        (nn.Sequential(Block(), nn.ReLU(), Block()), None, "switch_to_deploy"),
        (nn.Sequential(ReturningBlock(), nn.ReLU()), None, "switch_to_deploy"),
        (FirstForward(), None, "first forward"),
        (Unshuffled(), None, "fuse_model"),
        (TwoBranches(), "merge_into_one", "merge_into_one"),
    ],
)
def test_hook_halves_the_network_and_leaves_the_given_one(network, hook, method, frames) -> None:
    network.eval()
    state = copy.deepcopy(network.state_dict())
    x = torch.rand(1, 3, 15, 21)
    expected = copy.deepcopy(network)(x)
    outcome = reparameterize(network, hook=hook, frames=frames)
    assert outcome.record.method.startswith(f"author: {method}")
    assert outcome.record.params_after * 2 == outcome.record.params_before
    assert outcome.record.params_after == sum(p.numel() for p in outcome.network.parameters())
    assert outcome.record.max_abs_error is not None
    assert outcome.record.max_abs_error < 1e-5
    torch.testing.assert_close(outcome.network(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.state_dict(), state, atol=0, rtol=0)


def test_a_function_beside_the_class_is_a_hook(frames, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, OutsideFunction.__module__, sys.modules.get(__name__) or _this_module())
    outcome = reparameterize(OutsideFunction().eval(), hook="convert_it", frames=frames)
    assert outcome.record.method.startswith("author: convert_it")
    assert isinstance(outcome.network, nn.Conv2d)


def _this_module() -> object:
    module = type(sys)(__name__)
    module.convert_it = convert_it
    return module


@pytest.mark.parametrize(
    ("network", "remark"),
    [
        (Wrong(), "error"),
        (Crashing(), "RuntimeError: CUDA is needed"),
        (BrokenAfterwards(), "it raises"),
    ],
)
def test_a_bad_hook_is_named_and_its_result_not_used(network, remark, frames) -> None:
    network.eval()
    x = torch.rand(1, 3, 15, 21)
    expected = network(x)
    outcome = reparameterize(network, frames=frames)
    assert "author" not in outcome.record.method
    assert any("fuse_model" in note and remark in note for note in outcome.record.notes)
    torch.testing.assert_close(outcome.network(x), expected, atol=1e-5, rtol=1e-5)


def test_a_hook_that_does_not_exist_is_named(frames) -> None:
    outcome = reparameterize(InPlace().eval(), hook="fuse", frames=frames)
    assert "author" not in outcome.record.method
    assert any("no method fuse" in note for note in outcome.record.notes)


def test_a_method_with_arguments_is_no_hook(frames) -> None:
    assert "author" not in reparameterize(NeedsArgument().eval(), frames=frames).record.method


def test_none_switches_everything_off(frames) -> None:
    network = InPlace().eval()
    outcome = reparameterize(network, hook="none", frames=frames)
    assert outcome.network is network
    assert outcome.record.method == "none"
    assert outcome.record.params_after == outcome.record.params_before


def test_wrong_only_at_the_border_is_found_there(frames) -> None:
    class BiasedThenPadded(nn.Module):
        """A biased 1x1 and a zero-padded 3x3, merged as if the padding came first."""

        def __init__(self) -> None:
            super().__init__()
            self.squeeze = nn.Conv2d(3, 3, 1)
            self.spread = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.spread(self.squeeze(x))

        def collapse(self) -> nn.Module:
            conv = nn.Conv2d(3, 3, 3, padding=1)
            weight = torch.einsum("omhw,mi->oihw", self.spread.weight, self.squeeze.weight[..., 0, 0])
            conv.weight.data = weight
            conv.bias.data = self.spread.bias + (self.spread.weight.sum((2, 3)) @ self.squeeze.bias)
            return conv

    torch.manual_seed(0)
    network = BiasedThenPadded().eval()
    note = " ".join(reparameterize(network, frames=frames).record.notes)
    interior = float(note.split("interior ")[1].split(",")[0])
    border = float(note.split("border ")[1].split(")")[0])
    assert interior < 1e-5 < 1e-2 < border


def test_a_clip_built_into_the_new_form_is_no_error(frames) -> None:
    class Clipped(TwoBranches):
        def fuse_model(self) -> nn.Module:
            self.merge_into_one()
            return nn.Sequential(self.one, nn.Hardtanh(0.0, 1.0))

    network = Clipped().eval()
    for conv in (network.one, network.two):
        conv.weight.data.abs_().mul_(0.3)
    assert reparameterize(network, frames=frames).record.method.startswith("author: fuse_model")


def test_a_difference_hidden_by_the_clip_is_found(frames) -> None:
    network = Wrong().eval()
    network.one.bias.data.fill_(-50.0)
    assert "author" not in reparameterize(network, frames=frames).record.method


def test_value_range_255(frames) -> None:
    network = InPlace().eval()
    outcome = reparameterize(network, frames=[frame * 255 for frame in frames], value_range=255.0)
    assert outcome.record.method.startswith("author: fuse_model")
    assert outcome.record.max_abs_error < 1e-5


def test_a_network_that_cannot_be_copied_is_left_alone(frames) -> None:
    class Uncopiable(TwoBranches):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise TypeError("cannot pickle a lock")

    network = Uncopiable().eval()
    outcome = reparameterize(network, frames=frames)
    assert outcome.network is network
    assert any("cannot be copied" in note for note in outcome.record.notes)


def test_values_that_are_not_finite_are_no_difference_where_both_have_them(frames) -> None:
    class Dividing(InPlace):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x) * 0.1
            return torch.where(x > 0.5, y, y / 0)

    outcome = reparameterize(Dividing().eval(), frames=frames)
    assert outcome.record.method.startswith("author: fuse_model")
    assert outcome.record.max_abs_error < 1e-5


def test_inference_mode_around_the_call_does_no_harm(frames) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)).eval()
    with torch.inference_mode():
        outcome = reparameterize(network, frames=frames)
    assert outcome.record.method == "automatic"
