"""Random networks of linear and nonlinear operations: outputs do not change by the collapse."""

import copy

import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from harness.reparam.collapse import collapse

C = 4

PIECES = (
    "conv3", "conv3_valid_padded", "conv1", "conv1_no_bias", "depthwise", "grouped", "dilated", "strided_pair",
    "norm", "relu", "relu_in_place", "prelu", "tanh_in_place", "identity", "dropout", "add_skip", "add_in_place",
    "multiply_skip", "scale", "shift", "concatenate", "chunk", "crop", "bias_pad", "zero_pad", "keep",
    "shuffle_channels", "reuse", "square_part",
)  # fmt: skip


class Random(nn.Module):
    """Apply operations in turn to the latest value; some also take an earlier value."""

    def __init__(self, pieces: list[tuple[str, int]], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.pieces = pieces
        self.layers = nn.ModuleList(self._layer(name) for name, _ in pieces)

    def _layer(self, name: str) -> nn.Module:
        layers = {
            "conv3": lambda: nn.Conv2d(C, C, 3, padding=1),
            "conv3_valid_padded": lambda: nn.Conv2d(C, C, 3),
            "conv1": lambda: nn.Conv2d(C, C, 1),
            "conv1_no_bias": lambda: nn.Conv2d(C, C, 1, bias=False),
            "depthwise": lambda: nn.Conv2d(C, C, 3, padding=1, groups=C),
            "grouped": lambda: nn.Conv2d(C, C, 3, padding=1, groups=2, bias=False),
            "dilated": lambda: nn.Conv2d(C, C, 3, padding=2, dilation=2),
            "strided_pair": lambda: nn.Conv2d(C, 4 * C, 3, padding=1, stride=2),
            "norm": self._norm,
            "relu_in_place": lambda: nn.ReLU(inplace=True),
            "prelu": nn.PReLU,
            "identity": nn.Identity,
            "dropout": nn.Dropout,
            "shuffle_channels": lambda: nn.ChannelShuffle(2),
            "concatenate": lambda: nn.Conv2d(2 * C, C, 1),
            "bias_pad": lambda: nn.Conv2d(C, C, 3),
        }
        return layers.get(name, nn.Identity)()

    @staticmethod
    def _norm() -> nn.BatchNorm2d:
        norm = nn.BatchNorm2d(C)
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.4, 1.6)
        return norm

    def forward(self, x: Tensor) -> Tensor:
        values = [torch.tanh(x)]
        for (name, back), layer in zip(self.pieces, self.layers, strict=True):
            older = values[-1 - back % len(values)]
            values.append(self._piece(name, layer, values[-1], older))
        return sum(values[-2:])

    def _piece(self, name: str, layer: nn.Module, x: Tensor, older: Tensor) -> Tensor:  # noqa: C901
        match name:
            case "relu":
                return torch.relu(x)
            case "tanh_in_place":
                return x.tanh_()
            case "add_skip":
                return x + older
            case "add_in_place":
                x += older
                return x
            case "multiply_skip":
                return x * older
            case "scale":
                return 0.7 * x
            case "shift":
                return x - 0.2
            case "concatenate":
                return layer(torch.cat([older, x], dim=1))
            case "chunk":
                first, second = x.chunk(2, dim=1)
                return torch.cat([second, first], 1)
            case "crop":
                return F.pad(x, (1, 1, 1, 1))[:, :, 1:-1, 1:-1]
            case "zero_pad":
                return F.pad(x, (2, 0, 1, 3))[:, :, 1:-3, 2:]
            case "conv3_valid_padded" | "bias_pad":
                return layer(F.pad(x, (1, 1, 1, 1), value=0.25 if name == "bias_pad" else 0.0))
            case "strided_pair":
                return F.pixel_shuffle(layer(x), 2)[:, :, : x.shape[2], : x.shape[3]]
            case "keep" | "reuse":
                return older
            case "square_part":
                return torch.cat([x[:, :1] * x[:, :1], x[:, 1:]], dim=1)
        return layer(x)


def pieces(text: str) -> list[tuple[str, int]]:
    return [(word[:-1], int(word[-1])) for word in text.split()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pieces=st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, 3)), min_size=2, max_size=9),
    seed=st.integers(0, 1000),
    even=st.booleans(),
)
@example(  # the base of one region lies inside the next
    pieces=[
        ("depthwise", 1),
        ("bias_pad", 0),
        ("scale", 0),
        ("scale", 0),
        ("depthwise", 3),
        ("keep", 1),
        ("conv1", 0),
        ("conv1_no_bias", 2),
    ],
    seed=10,
    even=True,
)
@example(  # an identity shares memory that is changed later
    pieces=pieces("tanh_in_place3 identity3 add_in_place3 reuse3 shuffle_channels2 concatenate2 grouped3"),
    seed=16,
    even=True,
)
@example(  # the base of one region is the end of another
    pieces=[
        ("relu", 1),
        ("dropout", 2),
        ("add_skip", 1),
        ("norm", 0),
        ("bias_pad", 3),
        ("conv1", 2),
        ("conv1", 3),
        ("conv3", 1),
        ("add_in_place", 1),
    ],
    seed=0,
    even=True,
)
def test_collapse_keeps_every_value(pieces, seed, even) -> None:
    network = Random(pieces, seed).eval()
    work = collapse(network, torch.rand(1, C, 12, 14))
    assert not any(text.startswith("everything") or "not equal" in text for text in work.refused), work.refused
    if work.exact is None:
        return
    height, width = (16, 10) if even else (18, 22)
    for magnitude in (1.0, 30.0):
        x = magnitude * torch.randn(1, C, height, width, dtype=torch.float64)
        expected = copy.deepcopy(network).double()(x.clone())
        scale = max(1.0, expected.abs().max().item())
        gap = (work.exact(x.clone()) - expected).abs().max().item() / scale
        assert gap < 1e-10, work.folded


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pieces=st.lists(
        st.sampled_from(["conv1", "conv1_no_bias", "norm", "scale", "shift", "identity", "dropout", "chunk"]),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 1000),
)
def test_a_linear_tail_becomes_one_convolution(pieces, seed) -> None:
    """After a first 3x3, operations on single pixels always fold into it."""
    network = Random([("conv3", 0), *((name, 0) for name in pieces)], seed).eval()
    work = collapse(Chain(network), torch.rand(1, C, 9, 11))
    final = work.exact or Chain(network)
    assert sum(isinstance(module, nn.Conv2d) for module in final.modules()) == 1
    calls = [node for node in final.graph.nodes if node.op.startswith("call")] if work.exact else []
    assert len(calls) <= 2  # tanh and the convolution


class Chain(nn.Module):
    def __init__(self, network: Random) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return chain(self.network, torch.tanh(x))


def chain(network: Random, x: Tensor) -> Tensor:
    for (name, _), layer in zip(network.pieces, network.layers, strict=True):
        x = network._piece(name, layer, x, x)
    return x
