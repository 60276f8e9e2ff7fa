"""Compare output shapes with torch's own rules, and check that torch's compiler is not imported."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from harness.complexity.meta_shapes import _RULES, call_on_meta


def strides(value: Tensor) -> list[int]:
    """Return the strides of dimensions that have several elements; others have no meaning."""
    return [stride for stride, side in zip(value.stride(), value.shape, strict=True) if side > 1]


class Compared(TorchDispatchMode):
    """Execute each operator by the rules of the harness and by those of torch, and compare the results."""

    def __init__(self) -> None:
        super().__init__()
        self.ruled: set[str] = set()

    def __torch_dispatch__(self, operator: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        made, expected = call_on_meta(operator, args, kwargs or {}), operator(*args, **(kwargs or {}))
        name = operator._schema.name.removeprefix("aten::")
        if isinstance(expected, Tensor):
            assert (made.shape, made.dtype, made.device) == (expected.shape, expected.dtype, expected.device), name
            assert strides(made) == strides(expected), name
        self.ruled |= {name} & (_RULES.keys() | {"relu_", "leaky_relu_", "add_", "clamp_"})
        return made


def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


X, ROW = tensor(1, 8, 12, 20), tensor(1, 8, 1, 1)
CASES: dict[str, Callable[[], object]] = {
    "add": lambda: X + ROW,
    "add ": lambda: X + 1,
    "add of slices": lambda: X[:, :, 1:-1, 1:-1] + tensor(1, 8, 10, 18),
    "div of transposed": lambda: X.transpose(2, 3) / X.transpose(2, 3)[:1, :1, :, :1],
    "mul of channels last": lambda: X.to(memory_format=torch.channels_last) * ROW,
    "clamp of permuted": lambda: X.permute(0, 2, 3, 1).clamp(0, 1),
    "sub of expanded": lambda: ROW.expand(1, 8, 12, 20) - X[..., ::2, :].repeat_interleave(2, 2),
    "add_": lambda: tensor(2, 3).add_(1.0),
    "sub": lambda: X - ROW,
    "mul": lambda: ROW * X,
    "div": lambda: X / 255,
    "relu": lambda: functional.relu(X),
    "relu_": lambda: functional.relu(X, inplace=True),
    "leaky_relu": lambda: functional.leaky_relu(X, 0.05),
    "leaky_relu_": lambda: functional.leaky_relu(X, 0.05, inplace=True),
    "_prelu_kernel": lambda: functional.prelu(X, tensor(8)),
    "hardtanh": lambda: functional.relu6(X),
    "clamp": lambda: X.clamp(0, 1),
    "clamp_": lambda: X.clamp_(0, 1),
    "clamp_min": lambda: X.clamp_min(0),
    "clamp_max": lambda: X.clamp_max(1),
    "gelu": lambda: functional.gelu(X),
    "silu": lambda: functional.silu(X),
    "sigmoid": lambda: X.sigmoid(),
    "tanh": lambda: X.tanh(),
    "elu": lambda: functional.elu(X),
    "hardswish": lambda: functional.hardswish(X),
    "hardsigmoid": lambda: functional.hardsigmoid(X),
    "abs": lambda: X.abs(),
    "neg": lambda: -X,
    "exp": lambda: X.exp(),
    "sqrt": lambda: X.sqrt(),
    "rsqrt": lambda: X.rsqrt(),
    "maximum": lambda: torch.maximum(X, ROW),
    "minimum": lambda: torch.minimum(X, ROW),
    "where": lambda: torch.where(X > 0, X, ROW),
    "_softmax": lambda: X.softmax(1),
    "reflection_pad2d": lambda: functional.pad(X, (1, 2, 3, 4), mode="reflect"),
    "replication_pad2d": lambda: functional.pad(X, (1, 2, 3, 4), mode="replicate"),
    "pixel_shuffle": lambda: functional.pixel_shuffle(X, 2),
    "pixel_unshuffle": lambda: functional.pixel_unshuffle(X, 4),
    "cat": lambda: torch.cat([X, X[:, :3]], 1),
    "cat ": lambda: torch.cat([X, X], -1),
    "mean": lambda: functional.adaptive_avg_pool2d(X, 1),
    "mean ": lambda: X.mean(dim=(0, -1)),
    "upsample_nearest2d": lambda: functional.interpolate(X, scale_factor=2),
    "upsample_bilinear2d": lambda: functional.interpolate(X, scale_factor=3, mode="bilinear"),
    "upsample_bicubic2d": lambda: functional.interpolate(X, size=(31, 7), mode="bicubic"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_makes_what_torch_makes(name: str) -> None:
    with torch.no_grad(), Compared() as compared:
        CASES[name]()
    assert name.split(maxsplit=1)[0] in compared.ruled


def test_every_rule_is_tested() -> None:
    assert {name.split(maxsplit=1)[0] for name in CASES} >= _RULES.keys() - {"convolution"}


@pytest.mark.parametrize(
    "act",
    [
        lambda: tensor(2, dtype=torch.float16) + tensor(2),
        lambda: functional.conv2d(X.to(memory_format=torch.channels_last), tensor(4, 8, 3, 3)),
        lambda: torch.cat([X, ROW.expand(1, 8, 12, 20)], 1),
        lambda: tensor(2, dtype=torch.int64) / 2,
        lambda: tensor(2, dtype=torch.uint8) + tensor(2, dtype=torch.int32),
        lambda: torch.cat([tensor(0), tensor(1, 3)]),
        lambda: tensor(2, 3).mean(),
        lambda: tensor(2, 3).mean(0, dtype=torch.float64),
        lambda: functional.conv1d(tensor(1, 3, 9), tensor(4, 3, 3)),
        lambda: tensor(2, dtype=torch.int64).softmax(0, dtype=torch.float32),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_torch(act: Callable[[], object]) -> None:
    with torch.no_grad(), Compared():
        act()


@st.composite
def views(draw: st.DrawFn, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor of some shape whose dimensions are in any order, with gaps, or expanded."""
    order = draw(st.permutations(range(len(shape))))
    gaps = [draw(st.integers(0, 2)) for _ in shape]
    expanded = [draw(st.integers(0, 3)) == 0 for _ in shape]
    whole = tensor(*(1 if expanded[dim] else shape[dim] + gaps[dim] for dim in order))
    view = whole.permute([order.index(dim) for dim in range(len(shape))])
    for dim, side in enumerate(shape):
        view = view if expanded[dim] else view.narrow(dim, 0, side)
    return view.expand(shape)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3))
def test_results_have_the_strides_that_torch_gives_them(data: st.DataObject, shape: list[int], operands: int) -> None:
    given_views = [data.draw(views(tuple(shape))) for _ in range(operands)]
    with torch.no_grad(), Compared():
        if operands == 3:
            torch.where(given_views[0] > 0, given_views[1], given_views[2])
        elif operands == 2:
            given_views[0] + given_views[1]
        else:
            given_views[0].relu()


sizes = st.integers(1, 9)
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=100, deadline=None)
@given(st.tuples(sizes, sizes), steps, steps, steps, st.tuples(st.integers(0, 2), st.integers(0, 2)), st.booleans())
def test_convolutions_make_what_torch_makes(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    transposed: bool,
) -> None:
    sides = zip(size, stride, dilation, kernel, padding, strict=True)
    left = [(n - 1) * s + d * (k - 1) + 1 - 2 * p if transposed else n + 2 * p - d * (k - 1) for n, s, d, k, p in sides]
    assume(min(left) > 0)
    settings_ = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 2}
    with torch.no_grad(), Compared() as compared:
        if transposed:
            functional.conv_transpose2d(tensor(1, 4, *size), tensor(4, 3, *kernel), tensor(6), **settings_)
        else:
            functional.conv2d(tensor(1, 4, *size), tensor(6, 2, *kernel), tensor(6), **settings_)
    assert "convolution" in compared.ruled


def test_counting_an_upscaler_imports_neither_a_compiler_nor_an_algebra_system() -> None:
    program = """
import sys
from torch import nn
from harness.complexity.count import count
from harness.complexity.traffic import count_traffic
network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))
source = count(network, (1, 3, 1080, 1920)).source
assert source == "torch's operators at 1080x1920, on meta tensors; fvcore agrees at 24x48", source
assert count_traffic(network, (1, 3, 1080, 1920)).operators
assert not {"torch._dynamo", "sympy"} & sys.modules.keys(), "a worker's start takes a second more"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
