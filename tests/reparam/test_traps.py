"""Networks with regions that seem affine but must not be collapsed, or only in part."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.reparam import Search, reparameterize
from harness.reparam.collapse import collapse

C = 6


def conv(kernel: int, padding: int = 0, c_in: int = C, c_out: int = C, **options) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=padding, **options)


class Body(nn.Module):
    """Network around a body whose outputs all affect the result."""

    def __init__(self, body: nn.Module, scale: int = 1) -> None:
        super().__init__()
        self.head = conv(3, 1, 3)
        self.body = body
        self.tail = conv(3, 1, c_out=3 * scale**2)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 + 0.1 * self.shuffle(self.tail(torch.tanh(self.body(torch.tanh(self.head(x))))))


class DataDependentGate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x)) if x.mean() > 0.02 else self.one(x)


class LargeClamp(nn.Module):
    """Linear on all inputs in the usual range."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != C:
            raise ValueError("channels")
        return self.two(self.one(x).clamp(-1e30, 1e30))


class Attention(nn.Module):
    """SPAN's parameter-free attention: the product of two affine results."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.one(x))
        return y * (x + 0.5)


class SharedTwice(nn.Module):
    """One block, called twice, with an activation between."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(conv(3, 1, c_out=4 * C), conv(1, c_in=4 * C))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(torch.relu(self.block(x)))


class InPlaceAddition(nn.Module):
    """``x`` is changed under the name ``skip`` as well."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.1
        skip = x
        x += self.two(self.one(x))
        return x + skip


class InPlaceBetween(nn.Module):
    """The base is changed in place before the region's last operation."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 1.5
        wide = self.one(x)
        F.relu_(x)
        return self.two(wide) + x


class InPlaceThroughView(nn.Module):
    """An intermediate result is changed through a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.one(x)
        wide[:, :2].mul_(wide[:, 2:4])
        return self.two(wide)


class IntermediateUsed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1, c_out=4 * C), conv(1, c_in=4 * C)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.one(x)
        return self.two(wide) + torch.relu(wide)[:, :C]


class SizeDependent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.one(x))
        return y + torch.linspace(-1, 1, x.shape[-1]).to(x)


class Nameless(nn.Module):
    """Returns two results, takes an optional argument."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 1), conv(1)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        first, second = self.pair(x)
        return first + gain * second

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.two(self.one(x)), torch.sigmoid(x)


def training_norm() -> nn.Module:
    return nn.Sequential(conv(3, 1), nn.BatchNorm2d(C, track_running_stats=False), conv(1))


def hooked() -> nn.Module:
    body = nn.Sequential(conv(3, 1), conv(1))
    body[0].register_forward_hook(lambda module, args, output: torch.relu(output))
    return body


TRAPS: dict[str, nn.Module] = {}
torch.manual_seed(3)
for trap in (
    DataDependentGate(), LargeClamp(), Attention(), SharedTwice(), InPlaceAddition(), InPlaceBetween(),
    InPlaceThroughView(), IntermediateUsed(), SizeDependent(), Nameless(),
):  # fmt: skip
    TRAPS[type(trap).__name__] = trap
TRAPS |= {
    "batch norm in training mode": training_norm(),
    "instance norm": nn.Sequential(conv(3, 1), nn.InstanceNorm2d(C), conv(1)),
    "PReLU": nn.Sequential(conv(3, 1), nn.PReLU(), conv(1)),
    "dilation": nn.Sequential(conv(3, 2, dilation=2), conv(1), conv(3, 1, bias=False)),
    "circular": nn.Sequential(conv(3, 1, padding_mode="circular"), conv(1)),
    "reflect": nn.Sequential(conv(3, 1, padding_mode="reflect"), conv(1)),
    "reflect pad": nn.Sequential(nn.ReflectionPad2d(1), conv(3), conv(1)),
    "two zero-padded": nn.Sequential(conv(3, 1), conv(3, 1, c_out=2), conv(1, c_in=2)),
    "biased 1x1 first": nn.Sequential(conv(1), conv(3, 1)),
    "dropout": nn.Sequential(conv(3, 1), nn.Dropout2d(0.5), conv(1)),
    "hook": hooked(),
    "weight norm": nn.Sequential(nn.utils.parametrizations.weight_norm(conv(3, 1)), conv(1)),
    "bilinear": nn.Sequential(conv(3, 1), nn.Upsample(scale_factor=2, mode="bilinear"), conv(1), nn.AvgPool2d(2)),
    "mean shift": nn.Sequential(conv(1, bias=True), nn.Identity(), conv(3), nn.ZeroPad2d(1)),
}


@pytest.mark.parametrize("name", TRAPS)
def test_trap_keeps_its_behaviour(name) -> None:
    network = Body(copy.deepcopy(TRAPS[name])).eval()
    outcome = reparameterize(network, frames=[torch.rand(1, 3, 40, 50)])
    for seed, size in enumerate([(19, 24), (10, 33)]):
        x = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))
        for image in (x, x * 0.01, -x):
            expected = copy.deepcopy(network)(image.clone())
            torch.testing.assert_close(copy.deepcopy(outcome.network)(image.clone()), expected, atol=2e-6, rtol=0)


def folded(body: nn.Module) -> int:
    """Number of convolutions that are left of a body."""
    outcome = reparameterize(Body(body).eval(), frames=[torch.rand(1, 3, 40, 50)])
    return sum(isinstance(module, nn.Conv2d) for module in outcome.network.modules()) - 2


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [
        ("DataDependentGate", 2),
        ("LargeClamp", 2),
        ("Attention", 1),
        ("SharedTwice", 1),  # still one set of weights for both calls
        ("InPlaceAddition", 1),
        ("InPlaceThroughView", 2),
        ("batch norm in training mode", 2),
        ("instance norm", 2),
        ("PReLU", 2),
        ("two zero-padded", 3),  # the last two would cost more as one
        ("biased 1x1 first", 2),
        ("dropout", 1),
        ("weight norm", 1),
    ],
)
def test_trap_is_collapsed_as_far_as_is_right(name, convolutions) -> None:
    torch.manual_seed(0)
    assert folded(copy.deepcopy(TRAPS[name])) == convolutions


def test_strided_convolution_takes_its_pointwise_neighbours() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(
        conv(3, 1, c_out=4 * C, stride=2, bias=False),
        nn.BatchNorm2d(4 * C),
        conv(1, c_in=4 * C, c_out=4 * C),
        nn.PixelShuffle(2),
    )
    network = Body(body).eval()
    outcome = reparameterize(network)
    assert sum(isinstance(module, nn.Conv2d) for module in outcome.network.modules()) == 3
    x = torch.rand(1, 3, 18, 22)
    torch.testing.assert_close(outcome.network(x), network(x), atol=1e-6, rtol=0)


def test_what_differs_at_the_border_is_named_and_may_be_forced() -> None:
    torch.manual_seed(0)
    network = Body(nn.Sequential(conv(1, c_out=4 * C), conv(3, 1, c_in=4 * C))).eval()
    refused = reparameterize(network, frames=[torch.rand(1, 3, 40, 50)])
    assert refused.record.params_after == refused.record.params_before
    assert any("differs at the border by 0." in note for note in refused.record.notes)
    forced = reparameterize(network, frames=[torch.rand(1, 3, 40, 50)], search=Search(allow_border_error=True))
    assert forced.record.params_after < forced.record.params_before
    assert forced.record.max_abs_error is not None
    assert forced.record.max_abs_error > 1e-4
    x = torch.rand(1, 3, 20, 20)
    gap = (forced.network(x) - network(x)).abs()
    assert gap[..., 4:-4, 4:-4].max() < 1e-6 < gap.max()


def test_depthwise_and_pointwise_are_not_merged_into_something_dearer() -> None:
    body = nn.Sequential(conv(3, 1, groups=C), nn.BatchNorm2d(C), conv(1, bias=False), nn.BatchNorm2d(C))
    outcome = reparameterize(Body(body).eval(), frames=[torch.rand(1, 3, 40, 50)])
    around = sum(p.numel() for p in Body(nn.Identity()).parameters())
    assert outcome.record.params_after == around + (9 * C + C) + (C * C + C)


def test_residual_and_scale_fold_into_the_kernel() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv(3, 1)
            self.register_buffer("factors", torch.rand(C, 1, 1) + 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return (x + 0.2 * self.conv(x * self.factors)) / 1.1 - 0.3

    assert folded(Residual()) == 1


def test_parallel_convolutions_become_one() -> None:
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = conv(3, 1, c_out=2), conv(3, 1, c_out=4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.left(x), self.right(x)], dim=1)

    assert folded(Parallel()) == 1


def test_anchor_before_the_pixel_shuffle_is_folded() -> None:
    class Anchored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv(3, 1, c_in=3, c_out=12)

        def forward(self, x: Tensor) -> Tensor:
            return F.pixel_shuffle(self.conv(x) + torch.repeat_interleave(x, 4, dim=1), 2)

    class Upsampled(Anchored):
        def forward(self, x: Tensor) -> Tensor:
            return F.pixel_shuffle(self.conv(x), 2) + F.interpolate(x, scale_factor=2, mode="nearest")

    for network in (Anchored().eval(), Upsampled().eval()):
        outcome = reparameterize(network, frames=[torch.rand(1, 3, 40, 50)])
        assert outcome.record.method == "automatic"
        calls = [node for node in outcome.network.graph.nodes if node.op.startswith("call")]
        assert len(calls) == 2  # a convolution and a pixel shuffle
        x = torch.rand(1, 3, 9, 12)
        torch.testing.assert_close(outcome.network(x), network(x), atol=1e-6, rtol=0)


def test_untraceable_network_is_collapsed_within() -> None:
    class Untraceable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Sequential(conv(3, 1, 3, 24), conv(1, c_in=24, c_out=3)) for _ in range(2)])

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = torch.relu(block(x))
                if x.mean() < -1:
                    break
            return x

    torch.manual_seed(0)
    network = Untraceable().eval()
    outcome = reparameterize(network, frames=[torch.rand(1, 3, 40, 50)])
    assert outcome.record.params_after == 2 * (9 * 9 + 3)
    x = torch.rand(1, 3, 9, 12)
    torch.testing.assert_close(outcome.network(x), network(x), atol=1e-6, rtol=0)


def test_single_precision_inside_is_left_alone() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = conv(3, 1, 3), conv(1, c_out=3)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x).float())

    network = Mixed().eval()
    outcome = reparameterize(network, frames=[torch.rand(1, 3, 40, 50)])
    x = torch.rand(1, 3, 9, 12)
    torch.testing.assert_close(outcome.network(x), network(x), atol=1e-6, rtol=0)


def test_nothing_to_collapse_gives_the_same_object_after_a_few_passes(monkeypatch) -> None:
    network = nn.Sequential(*[layer for _ in range(20) for layer in (conv(3, 1, 3, 3), nn.ReLU())]).eval()
    passes, forward = [], nn.Sequential.forward
    monkeypatch.setattr(nn.Sequential, "forward", lambda self, x: (passes.append(x.shape), forward(self, x))[1])
    outcome = reparameterize(network, frames=[torch.rand(1, 3, 40, 50)])
    assert 0 < len(passes) <= 12
    assert outcome.network is network
    assert outcome.record.notes == []


def test_automatic_collapse_can_be_left_out() -> None:
    network = nn.Sequential(conv(3, 1, 3, 8), conv(1, c_in=8, c_out=3)).eval()
    assert reparameterize(network, search=Search(automatic=False)).network is network


def test_training_form_is_never_changed() -> None:
    network = Body(nn.Sequential(conv(3, 1), nn.BatchNorm2d(C), conv(1))).eval()
    state = copy.deepcopy(network.state_dict())
    collapse(network, torch.rand(1, 3, 12, 12))
    torch.testing.assert_close(network.state_dict(), state, atol=0, rtol=0)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
