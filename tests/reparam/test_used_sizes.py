"""A network that treats some sizes differently is not replaced by a form that is right at small sizes only."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.reparam import reparameterize
from harness.reparam.sizes import stand_ins

USED = (270, 480)
Rule = Callable[[int, int], bool]


class Block(nn.Module):
    """Two convolutions, with an activation between them at some sizes only."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.Conv2d(24, 12, 1)
        self.rule = rule

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        if self.rule(int(x.shape[-2]), int(x.shape[-1])):
            y = F.relu(y)
        return self.two(y)


class Network(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 + 0.1 * F.pixel_shuffle(torch.tanh(self.block(x)), 2)


RULES: dict[str, Rule] = {
    "wide": lambda _, width: width >= 64,
    "exactly so wide": lambda _, width: width == USED[1],
    "high": lambda height, _: height > 200,
    "both sides": lambda height, width: min(height, width) >= 64,
    "both sides long": lambda height, width: height > 200 and width > 400,
    "many pixels": lambda height, width: height * width > 100_000,
    "this size": lambda height, width: (height, width) == USED,
    "multiples": lambda height, width: height % 30 == 0 and width % 60 == 0,
    "aspect ratio": lambda height, width: 1.7 < width / height < 1.8,
}


@pytest.mark.parametrize("name", RULES)
def test_a_block_with_another_path_at_the_used_size_is_not_collapsed(name: str) -> None:
    torch.manual_seed(0)
    network = Network(Block(RULES[name])).eval()
    outcome = reparameterize(network, sizes=[USED])
    assert outcome.network is network
    assert any(
        note.startswith("not collapsed: block: ") and "than at smaller sizes" in note for note in outcome.record.notes
    )
    image = torch.rand(1, 3, *USED)
    torch.testing.assert_close(outcome.network(image), network(image), atol=2e-6, rtol=0)


@pytest.mark.parametrize("rule", [lambda _height, _width: False, lambda height, _: height > 5000])
def test_a_path_that_is_never_taken_prevents_no_collapse(rule: Rule) -> None:
    network = Network(Block(rule)).eval()
    outcome = reparameterize(network, sizes=[USED, (1080, 1920)])
    assert outcome.record.method == "automatic"


class PadsOddSides(nn.Module):
    """The same convolution at all sizes, by other operators if a side is odd."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.Conv2d(24, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = int(x.shape[-2]), int(x.shape[-1])
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2))
        return self.two(self.one(x))[..., :height, :width]


@pytest.mark.parametrize("size", [USED, (271, 480), (271, 481), (7, 9), (1080, 8)])
def test_remainders_that_change_nothing_prevent_no_collapse(size: tuple[int, int]) -> None:
    network = Network(PadsOddSides()).eval()
    outcome = reparameterize(network, sizes=[size])
    assert outcome.record.method == "automatic"
    assert not [note for note in outcome.record.notes if "smaller sizes" in note]


class GainOfSize(nn.Module):
    """The same operators at all sizes, with a constant that depends on the width."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.Conv2d(24, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        gain = 1.0 if int(x.shape[-1]) < 64 else 1.5
        return self.two(self.one(x) * torch.tensor(gain, dtype=x.dtype))


def test_a_constant_that_depends_on_the_size_is_found() -> None:
    network = Network(GainOfSize()).eval()
    image = torch.rand(1, 3, *USED)
    outcome = reparameterize(network, sizes=[USED])
    torch.testing.assert_close(outcome.network(image), network(image), atol=2e-6, rtol=0)
    assert any("x480" in note for note in outcome.record.notes)


class Converting(nn.Module):
    """Training form whose own conversion forgets what it does to wide images."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.deployed = False

    def fuse_model(self) -> None:
        self.deployed = True
        self.layer.register_buffer("mark", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y if self.deployed or x.shape[-1] < 100 else torch.relu(y - 0.2)


def test_an_authors_form_is_compared_at_the_used_sizes() -> None:
    network = Converting().eval()
    outcome = reparameterize(network, sizes=[USED])
    assert outcome.network is network
    assert any(
        "the author's fuse_model is wrong: it differs by" in note and "480" in note for note in outcome.record.notes
    )
    assert reparameterize(network, sizes=[(64, 64)]).record.method == "author: fuse_model"


@pytest.mark.parametrize("size", [(1080, 1920), (720, 1280), (339, 510), (5, 1000), (96, 96), (1, 1)])
@pytest.mark.parametrize("multiple", [1, 2, 7, 12, 64])
def test_smaller_sizes_stand_for_the_full_height_and_width(size: tuple[int, int], multiple: int) -> None:
    found = stand_ins(size, multiple=multiple)
    height, width = (-(-side // multiple) * multiple for side in size)
    assert height in {one[0] for one in found}
    assert width in {one[1] for one in found}
    for one in found:
        for side, full in zip(one, (height, width), strict=True):
            assert 0 < side <= full
            assert side % multiple == 0
            assert side == full or (full - side) % 8 == 0
