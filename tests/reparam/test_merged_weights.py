"""Weights that a network computes in each forward pass become constants: by hand, or by torch's parametrizations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune
from torch.nn.utils import spectral_norm as hooked_spectral_norm
from torch.nn.utils import weight_norm as hooked_weight_norm
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from harness.reparam import reparameterize
from harness.reparam.collapse import collapse
from harness.reparam.export import submission_files
from harness.reparam.search import Clock

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")

FRAME = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(1))
MASKS = {
    "sobel-x": [[1.0, 0, -1], [2, 0, -2], [1, 0, -1]],
    "sobel-y": [[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "laplacian": [[0.0, 1, 0], [1, -4, 1], [0, 1, 0]],
}


class Edge(nn.Module):
    """A 1x1 convolution to all channels, then a scaled fixed filter of each."""

    def __init__(self, inputs: int, outputs: int, kind: str) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, outputs, 1)
        self.weight, self.shift = first.weight, first.bias
        self.scale = nn.Parameter(0.1 * torch.randn(outputs, 1, 1, 1))
        self.bias = nn.Parameter(0.1 * torch.randn(outputs))
        self.mask = nn.Parameter(torch.tensor(MASKS[kind]).repeat(outputs, 1, 1, 1), requires_grad=False)

    def merged(self) -> tuple[Tensor, Tensor]:
        outputs = len(self.bias)
        kernel = torch.zeros((outputs, outputs, 3, 3))
        for channel in range(outputs):
            kernel[channel, channel] = (self.scale * self.mask)[channel, 0]
        shift = torch.ones(1, outputs, 3, 3) * self.shift.view(1, -1, 1, 1)
        return F.conv2d(kernel, self.weight.permute(1, 0, 2, 3)), F.conv2d(shift, kernel).view(-1) + self.bias


class Expand(nn.Module):
    """A 1x1 convolution to twice the channels, then a 3x3 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(inputs, 2 * outputs, 1), nn.Conv2d(2 * outputs, outputs, 3)

    def merged(self) -> tuple[Tensor, Tensor]:
        kernel = F.conv2d(self.second.weight, self.first.weight.permute(1, 0, 2, 3))
        shift = torch.ones(1, len(self.first.bias), 3, 3, dtype=torch.float32) * self.first.bias.view(1, -1, 1, 1)
        return kernel, F.conv2d(shift, self.second.weight).view(-1) + self.second.bias


class Block(nn.Module):
    """Edge-oriented block (Zhang et al., ACM MM 2021) that merges its branches in each forward pass in eval mode."""

    def __init__(self, inputs: int, outputs: int, act: bool = True) -> None:
        super().__init__()
        self.plain = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.branches = nn.ModuleList([Expand(inputs, outputs), *(Edge(inputs, outputs, kind) for kind in MASKS)])
        self.act = nn.PReLU(outputs) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        kernel, bias = self.plain.weight, self.plain.bias
        for branch in self.branches:
            more, shift = branch.merged()
            kernel, bias = kernel + more, bias + shift
        if kernel.shape[0] == kernel.shape[1]:
            identity = torch.zeros(*kernel.shape)
            for channel in range(len(kernel)):
                identity[channel, channel, 1, 1] = 1.0
            kernel = kernel + identity
        return self.act(F.conv2d(x, kernel, bias, padding=1))


class EdgeOriented(nn.Module):
    """Blocks of 32 channels, with a nearest-neighbour shortcut, at x2."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(3, 32), *[Block(32, 32) for _ in range(blocks)], Block(32, 12, act=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.body(x) + x.repeat_interleave(4, 1), 2)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def assert_same(before: nn.Module, after: nn.Module) -> None:
    image = torch.rand(1, 3, 23, 31)
    with torch.no_grad():
        torch.testing.assert_close(after(image), before(image), atol=1e-5, rtol=0)


def test_branches_that_are_merged_in_each_forward_pass_become_convolutions() -> None:
    network = seeded(lambda: EdgeOriented(4))
    outcome = reparameterize(network, frames=[FRAME])
    # 9 x 3 x 32 + 32, four times 9 x 32 x 32 + 32, 9 x 32 x 12 + 12, and 5 x 32 slopes
    assert (outcome.record.params_before, outcome.record.params_after) == (165_856, 41_516)
    assert_same(network, outcome.network)
    assert b"Conv2d(32, 32, 3, padding=1)" in submission_files(outcome.network, 2)["arch.py"]


class Merges(nn.Module):
    """Convolution with a kernel that a function makes of a parameter."""

    def __init__(self, merge: Callable[..., Tensor]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(0.1 * torch.randn(8, 3, 3, 3)), nn.Parameter(torch.randn(8))
        self.tail = nn.Conv2d(8, 12, 3, padding=1)
        self.merge = merge

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.tail(F.relu(F.conv2d(x, self.merge(self.weight), self.bias, padding=1))), 2)


def _by_loop(weight: Tensor) -> Tensor:
    made = torch.empty(weight.shape, dtype=torch.float32)
    for index in range(len(weight)):
        made[index] = weight[index] * float(index + 1)
    return made


def _by_value(weight: Tensor) -> Tensor:
    return weight / weight.abs().max() if weight.norm().item() > 0 else weight


MERGED = {
    "loop": _by_loop,
    "branch on a value": _by_value,
    "legacy constructor": lambda weight: weight + torch.FloatTensor(weight.shape).fill_(0.5),
    "explicit float32": lambda weight: weight * torch.full(weight.shape, 0.3, dtype=torch.float32).float(),
    "convolved with float32": lambda weight: F.conv2d(weight, torch.eye(3).view(3, 3, 1, 1)),
    "einsum": lambda weight: torch.einsum("oihw,ij->ojhw", weight, torch.ones(3, 3)),
}


@pytest.mark.parametrize("name", MERGED)
def test_whatever_computes_the_weights(name: str) -> None:
    network = seeded(lambda: Merges(MERGED[name]))
    outcome = reparameterize(network, frames=[FRAME])
    assert outcome.record.method == "automatic"
    assert [type(module) for module in outcome.network.children()].count(nn.Conv2d) == 2
    assert outcome.record.params_after == 8 * 28 + 12 * 73
    assert_same(network, outcome.network)


class LooksAtTheImage(Merges):
    """Convolution with a kernel for which the dtype or the device of the image is read."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.merge(self.weight, x)
        return F.pixel_shuffle(self.tail(F.relu(F.conv2d(x, weight, self.bias, padding=1))), 2)


MASK = torch.rand(8, 3, 3, 3, generator=torch.Generator().manual_seed(2))


def _centre_added(weight: Tensor, _x: Tensor) -> Tensor:
    kernel = weight.clone()
    kernel[:, :, 1:2, 1:2].add_(weight.mean((2, 3), keepdim=True))
    return kernel


LOOKS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "to device and dtype": lambda weight, x: weight * MASK.to(x.device, x.dtype),
    "to keywords": lambda weight, x: weight * MASK.to(device=x.device, dtype=x.dtype),
    "to the image": lambda weight, x: weight * MASK.to(x),
    "type_as": lambda weight, x: weight + torch.ones(weight.shape).type_as(x),
    "ones on its device": lambda weight, x: weight * torch.ones(3, 3, 3, device=x.device, dtype=x.dtype),
    "new_tensor": lambda weight, x: weight * x.new_tensor([2.0]),
    "new_full": lambda weight, x: weight * x.new_full((3, 1, 1), 0.5),
    "in place in a part": _centre_added,
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_kernel_for_the_device_of_the_image_is_a_constant(name: str) -> None:
    network = seeded(lambda: LooksAtTheImage(LOOKS[name]))
    outcome = reparameterize(network, frames=[FRAME])
    assert [type(module) for module in outcome.network.children()].count(nn.Conv2d) == 2
    assert outcome.record.params_after == 8 * 28 + 12 * 73
    assert_same(network, outcome.network)


@pytest.mark.parametrize(
    "merge",
    [
        lambda weight, x: weight * x.new_ones(3, 1, 1) * x.mean(),
        lambda weight, x: weight * torch.ones_like(x[:, :, :3, :3]) * x[:, :1, :1, :1],
        lambda weight, x: weight * x.mean((2, 3)).to(x).view(1, 3, 1, 1),
    ],
)
def test_a_kernel_of_the_values_of_the_image_is_not(merge: Callable[[Tensor, Tensor], Tensor]) -> None:
    network = seeded(lambda: LooksAtTheImage(merge))
    outcome = reparameterize(network, frames=[FRAME])
    assert type(outcome.network) is LooksAtTheImage or "conv2d" in str(getattr(outcome.network, "code", ""))
    assert_same(network, outcome.network)


def test_weights_that_depend_on_the_image_are_not_folded() -> None:
    class Dynamic(Merges):
        def forward(self, x: Tensor) -> Tensor:
            weight = torch.ones(8, 3, 3, 3) * x.mean((2, 3)).view(1, 3, 1, 1) * self.weight
            return F.pixel_shuffle(self.tail(F.relu(F.conv2d(x, weight, self.bias, padding=1))), 2)

    network = seeded(lambda: Dynamic(lambda weight: weight))
    outcome = reparameterize(network, frames=[FRAME])
    assert outcome.record.params_after == outcome.record.params_before
    assert_same(network, outcome.network)


def _pruned(layer: nn.Module) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", 0.3)


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def _doubled(layer: nn.Module) -> nn.Module:
    parametrize.register_parametrization(layer, "weight", Doubled())
    return layer


WRAPPERS = {
    "hooked weight_norm": hooked_weight_norm,
    "hooked spectral_norm": hooked_spectral_norm,
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "orthogonal": orthogonal,
    "pruned": _pruned,
    "custom": _doubled,
    "two": lambda layer: _doubled(spectral_norm(layer)),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_parametrizations_are_folded(name: str) -> None:
    wrap = WRAPPERS[name]
    layers = (nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1))
    first, second, third = map(wrap, layers)
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third, nn.PixelShuffle(2)).eval()
    outcome = reparameterize(network, frames=[FRAME])
    assert outcome.record.method == "automatic"
    assert outcome.record.params_after == 16 * 28 + 16 * 145 + 12 * 145  # 4,508
    assert all(type(outcome.network[index]) is nn.Conv2d for index in (0, 2, 4))
    outcome.network.load_state_dict(outcome.network.state_dict())  # no hook of a wrapper is left
    assert "folded the parametrization of 0.weight" in outcome.record.notes
    assert_same(network, outcome.network)
    assert b"Conv2d(16, 16, 3, padding=1)" in submission_files(outcome.network, 2)["arch.py"]


def test_a_folded_convolution_is_collapsed_like_any_other() -> None:
    first, second = weight_norm(nn.Conv2d(3, 24, 3, padding=1)), hooked_weight_norm(nn.Conv2d(24, 12, 1))
    network = nn.Sequential(first, second, nn.PixelShuffle(2)).eval()
    outcome = reparameterize(network, frames=[FRAME])
    assert outcome.record.params_after == 12 * 28
    assert_same(network, outcome.network)


class Gate(nn.Module):
    """Attention over a strongly reduced image, as in residual feature distillation networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stride = nn.Conv2d(16, 8, 3, stride=2)
        self.back = nn.Conv2d(8, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(self.stride(x), 7, 3)
        return x * torch.sigmoid(self.back(F.interpolate(y, x.shape[2:], mode="bilinear")))


@pytest.mark.parametrize("pools", [1, 2])
def test_networks_that_need_larger_images_are_proved_on_larger_images(pools: int) -> None:
    body = [part for _ in range(pools) for part in (Gate(), nn.ReLU())]
    if pools == 2:
        body.insert(0, nn.AvgPool2d(2))
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 1), nn.ReLU(), *body, nn.Conv2d(16, 48, 1), nn.PixelShuffle(4)
    ).eval()
    outcome = reparameterize(network, frames=[torch.rand(1, 3, 150, 200)])
    assert outcome.record.method == "automatic"
    assert outcome.record.params_before - outcome.record.params_after == 16 * 17
    assert not any("small" in note for note in outcome.record.notes)


def test_the_search_ends_at_its_limit() -> None:
    network = seeded(lambda: EdgeOriented(1))
    done = collapse(network, FRAME, clock=Clock(-1.0))
    assert done.network is None
    assert any("limit of the search" in text for text in done.refused)
