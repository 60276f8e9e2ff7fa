"""Every layer with parameters, and every way to write a convolution, a product or attention, has its closed form."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention
from torch.utils.checkpoint import checkpoint

from harness.complexity.count import Complexity, count

H, W = 96, 160
P = H * W
SHAPE = (1, 3, H, W)


class Calls(nn.Module):
    """Calls a function of an image of eight channels, made by a 1x1 convolution, and of the layers of the case."""

    def __init__(self, function: Callable[..., object], *layers: nn.Module) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 1)
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        self.function(y, *self.layers)
        return F.interpolate(x, scale_factor=2, mode="bicubic")


def counted(function: Callable[..., object], *layers: nn.Module) -> Complexity:
    return count(Calls(function, *layers).eval(), SHAPE)


def added(complexity: Complexity) -> int:
    """Return the MACs without those of the head."""
    assert complexity.macs is not None
    return complexity.macs - 24 * P


def tokens(y: Tensor) -> Tensor:
    return y.flatten(2).transpose(1, 2)  # 1 x P x 8


def windows(y: Tensor) -> Tensor:
    n, c, h, w = y.shape
    return y.reshape(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)


def rows(y: Tensor) -> Tensor:
    return y[0].permute(1, 2, 0)  # H sequences of length W with 8 features


WEIGHT = torch.randn(8, 8, 3, 3)
MATRIX = torch.randn(8, 5)
# windows: projections of query, key, value and output, scores and their product with the values
ATTENTION = 4 * 64 * P + 2 * 64 * 8 * P

FUNCTIONS: dict[str, tuple[Callable[[Tensor], object], int]] = {
    "conv2d": (lambda y: F.conv2d(y, WEIGHT, padding=1), 576 * P),
    "conv2d same": (lambda y: F.conv2d(y, WEIGHT, padding="same"), 576 * P),
    "conv2d valid": (lambda y: F.conv2d(y, WEIGHT, padding="valid"), 576 * (H - 2) * (W - 2)),
    "conv2d even same": (lambda y: F.conv2d(y, torch.ones(4, 8, 2, 4), padding="same"), 256 * P),
    "conv2d grouped": (lambda y: F.conv2d(y, WEIGHT[:, :1], groups=8, padding=1), 72 * P),
    "conv2d strided": (lambda y: torch.conv2d(y, WEIGHT, stride=2, padding=1), 576 * P // 4),
    "conv2d without batch": (lambda y: F.conv2d(y[0], WEIGHT, padding=1), 576 * P),
    "conv1d": (lambda y: F.conv1d(y.flatten(2), WEIGHT[..., 0], padding=1), 192 * P),
    "conv3d": (lambda y: F.conv3d(y[:, None], torch.ones(4, 1, 3, 3, 3), padding=1), 27 * 4 * 8 * P),
    "convolution": (
        lambda y: torch.convolution(y, WEIGHT, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
        576 * P,
    ),
    "conv_transpose1d": (lambda y: F.conv_transpose1d(y.flatten(2), torch.ones(8, 4, 2), stride=2), 64 * P),
    "conv_transpose2d": (lambda y: F.conv_transpose2d(y, torch.ones(8, 3, 4, 4), stride=2, padding=1), 384 * P),
    "conv_transpose3d": (lambda y: F.conv_transpose3d(y[None], torch.ones(1, 2, 1, 2, 2), stride=(1, 2, 2)), 8 * 8 * P),
    "conv_tbc": (
        lambda y: torch.conv_tbc(y.flatten(2).permute(2, 0, 1), torch.ones(3, 8, 4), torch.ones(4), 1),
        96 * P,
    ),
    "unfold and matmul": (lambda y: WEIGHT.reshape(8, 72) @ F.unfold(y, 3, padding=1), 576 * P),
    "dynamic convolution": (
        lambda y: F.conv2d(y, y.mean((0, 2, 3)).reshape(8, 1, 1, 1).expand(8, 8, 3, 3), padding=1),
        576 * P,
    ),
    "linear": (lambda y: F.linear(tokens(y), MATRIX.T), 40 * P),
    "matmul": (lambda y: tokens(y) @ MATRIX, 40 * P),
    "matmul of a vector": (lambda y: torch.matmul(tokens(y), MATRIX[:, 0]), 8 * P),
    "rmatmul": (lambda y: MATRIX.T.matmul(y.flatten(2)), 40 * P),
    "mm": (lambda y: tokens(y)[0].mm(MATRIX), 40 * P),
    "addmm": (lambda y: torch.addmm(torch.ones(5), tokens(y)[0], MATRIX), 40 * P),
    "bmm": (lambda y: torch.bmm(windows(y), windows(y).transpose(1, 2)), 64 * 8 * P),
    "baddbmm": (lambda y: torch.baddbmm(torch.ones(1), windows(y), windows(y).mT), 64 * 8 * P),
    "addbmm": (lambda y: torch.addbmm(torch.ones(64, 64), windows(y), windows(y).mT), 64 * 8 * P),
    "mv": (lambda y: torch.mv(tokens(y)[0], MATRIX[:, 0]), 8 * P),
    "addmv": (lambda y: torch.addmv(torch.ones(1), tokens(y)[0], MATRIX[:, 0]), 8 * P),
    "dot": (lambda y: torch.dot(y.flatten(), y.flatten()), 8 * P),
    "inner": (lambda y: torch.inner(tokens(y), MATRIX.T), 40 * P),
    "multi_dot, cheapest order": (lambda y: torch.linalg.multi_dot([tokens(y)[0], MATRIX, MATRIX.T]), 64 * P + 320),
    "tensordot": (lambda y: torch.tensordot(y, MATRIX, dims=([1], [0])), 40 * P),
    "einsum": (lambda y: torch.einsum("nchw,cd->ndhw", y, MATRIX), 40 * P),
    "einsum of rows": (lambda y: torch.einsum("nchw,nchv->nhwv", y, y), 8 * W * P),
    "bilinear": (lambda y: F.bilinear(tokens(y), tokens(y), torch.ones(4, 8, 8)), 4 * 64 * P),
    "affine_grid": (lambda y: F.affine_grid(torch.ones(1, 2, 3), [1, 8, H, W], align_corners=False), 6 * P),
    "affine_grid of volumes": (lambda y: F.affine_grid(torch.ones(1, 3, 4), [1, 8, 2, H, W], False), 24 * P),
    "vmap": (lambda y: torch.vmap(lambda z: F.conv2d(z[None], WEIGHT, padding=1))(y), 576 * P),
    "complex matmul": (lambda y: tokens(y).to(torch.complex64) @ MATRIX.to(torch.complex64), 40 * P),
    "cov": (lambda y: torch.cov(y[0].flatten(1)), 64 * P),
    "cdist": (lambda y: torch.cdist(windows(y), windows(y)), 64 * 8 * P),
    "scaled_dot_product_attention": (
        lambda y: F.scaled_dot_product_attention(windows(y)[:, None], windows(y)[:, None], windows(y)[:, None]),
        2 * 64 * 8 * P,
    ),
    "attention with a mask": (
        lambda y: F.scaled_dot_product_attention(*[windows(y)[:, None]] * 3, attn_mask=torch.zeros(64, 64)),
        2 * 64 * 8 * P,
    ),
    "attention by hand": (lambda y: (windows(y) @ windows(y).mT).softmax(-1) @ windows(y), 2 * 64 * 8 * P),
    "transposed attention": (lambda y: (y.flatten(2) @ y.flatten(2).mT).softmax(-1) @ y.flatten(2), 2 * 64 * P),
    "checkpointed": (lambda y: checkpoint(lambda z: F.conv2d(z, WEIGHT, padding=1), y, use_reentrant=False), 576 * P),
    "checkpointed, reentrant": (lambda y: checkpoint(lambda z: F.conv2d(z, WEIGHT), y, use_reentrant=True), 576 * P),
    "nothing": (lambda y: F.max_pool2d(F.hardtanh_(y.flip(3)), 3, 1).ne(0), 0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    function, expected = FUNCTIONS[name]
    complexity = counted(function)
    tolerance = 0.04 if name == "checkpointed, reentrant" else 1e-9  # without padding
    assert added(complexity) == pytest.approx(expected, rel=tolerance)
    assert complexity.incomplete_ops == ()


LAYERS: dict[type[nn.Module], tuple[Callable[[], nn.Module], Callable[..., object], int]] = {
    nn.Conv1d: (lambda: nn.Conv1d(8, 4, 3, padding="same"), lambda y, m: m(y.flatten(2)), 96 * P),
    nn.Conv2d: (lambda: nn.Conv2d(8, 4, 3, padding="same", dilation=2), lambda y, m: m(y), 288 * P),
    nn.Conv3d: (lambda: nn.Conv3d(1, 2, (1, 3, 3), padding=(0, 1, 1)), lambda y, m: m(y[:, None]), 18 * 8 * P),
    nn.ConvTranspose1d: (lambda: nn.ConvTranspose1d(8, 4, 4, 4), lambda y, m: m(y.flatten(2)), 128 * P),
    nn.ConvTranspose2d: (lambda: nn.ConvTranspose2d(8, 4, 2, 2, groups=2), lambda y, m: m(y), 64 * P),
    nn.ConvTranspose3d: (lambda: nn.ConvTranspose3d(1, 2, 2, 2), lambda y, m: m(y[:, None]), 16 * 8 * P),
    nn.Linear: (lambda: nn.Linear(8, 12), lambda y, m: m(tokens(y)), 96 * P),
    nn.Bilinear: (lambda: nn.Bilinear(8, 8, 3), lambda y, m: m(tokens(y), tokens(y)), 192 * P),
    nn.MultiheadAttention: (
        lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        lambda y, m: m(windows(y), windows(y), windows(y), need_weights=False),
        ATTENTION,
    ),
    nn.TransformerEncoderLayer: (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        lambda y, m: m(windows(y)),
        ATTENTION + 256 * P + 2 * 5 * 8 * P,
    ),
    nn.TransformerDecoderLayer: (
        lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        lambda y, m: m(windows(y), windows(y)),
        2 * ATTENTION + 256 * P + 3 * 5 * 8 * P,
    ),
    nn.RNN: (lambda: nn.RNN(8, 4, batch_first=True), lambda y, m: m(rows(y)), 48 * P),
    nn.GRU: (lambda: nn.GRU(8, 4, batch_first=True, bidirectional=True), lambda y, m: m(rows(y)), 2 * 3 * 48 * P),
    nn.LSTM: (lambda: nn.LSTM(8, 4, num_layers=2), lambda y, m: m(rows(y)), 4 * (48 + 32) * P),
    nn.RNNCell: (lambda: nn.RNNCell(8, 4), lambda y, m: m(tokens(y)[0]), 48 * P),
    nn.GRUCell: (lambda: nn.GRUCell(8, 4), lambda y, m: m(tokens(y)[0]), 3 * 48 * P),
    nn.LSTMCell: (lambda: nn.LSTMCell(8, 4), lambda y, m: m(tokens(y)[0]), 4 * 48 * P),
    # fvcore's conventions: one per element, two with weights; five per element where statistics are computed
    nn.BatchNorm1d: (lambda: nn.BatchNorm1d(8), lambda y, m: m(y.flatten(2)), 16 * P),
    nn.BatchNorm2d: (lambda: nn.BatchNorm2d(8), lambda y, m: m(y), 16 * P),
    nn.BatchNorm3d: (lambda: nn.BatchNorm3d(8), lambda y, m: m(y[:, :, None]), 16 * P),
    nn.SyncBatchNorm: (lambda: nn.SyncBatchNorm(8), lambda y, m: m(y), 16 * P),
    nn.InstanceNorm1d: (lambda: nn.InstanceNorm1d(8, affine=True), lambda y, m: m(y.flatten(2)), 40 * P),
    nn.InstanceNorm2d: (lambda: nn.InstanceNorm2d(8, affine=True), lambda y, m: m(y), 40 * P),
    nn.InstanceNorm3d: (lambda: nn.InstanceNorm3d(8, affine=True), lambda y, m: m(y[:, :, None]), 40 * P),
    nn.LayerNorm: (lambda: nn.LayerNorm(8), lambda y, m: m(tokens(y)), 40 * P),
    nn.GroupNorm: (lambda: nn.GroupNorm(2, 8), lambda y, m: m(y), 40 * P),
    # no products
    nn.PReLU: (lambda: nn.PReLU(8), lambda y, m: m(y), 0),
    nn.RMSNorm: (lambda: nn.RMSNorm(8), lambda y, m: m(tokens(y)), 0),
    nn.Embedding: (lambda: nn.Embedding(9, 4), lambda y, m: m(y.abs().clamp(0, 8).long()), 0),
    nn.EmbeddingBag: (lambda: nn.EmbeddingBag(9, 4), lambda y, m: m(y[0, 0].abs().clamp(0, 8).long()), 0),
}
CONTAINERS = {"Transformer", "TransformerEncoder", "TransformerDecoder", "AdaptiveLogSoftmaxWithLoss"}
"""Made of the layers above; the last is a loss."""


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_layers(layer: type[nn.Module]) -> None:
    make, call, expected = LAYERS[layer]
    complexity = counted(call, make())
    assert added(complexity) == pytest.approx(expected, rel=1e-9)
    assert complexity.incomplete_ops == ()


def test_every_layer_with_parameters_is_in_the_table() -> None:
    # A layer has parameters if its constructor makes some; bases and lazy variants turn into the layers themselves.
    known = {layer.__name__ for layer in LAYERS} | CONTAINERS
    missing = []
    for name, kind in vars(nn).items():
        if name in known or "Lazy" in name or name.endswith(("Base", "Loss")):
            continue
        if inspect.isclass(kind) and issubclass(kind, nn.Module):
            source = inspect.getsource(kind.__init__)
            if "Parameter(" in source or "Linear" in source:
                missing.append(name)
    assert sorted(missing) == []


class Window(nn.Module):
    """Attention in windows of 8 x 8, with the image padded to whole windows."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(48, 6, batch_first=True)
        self.head, self.tail = nn.Conv2d(3, 48, 3, padding=1), nn.Conv2d(48, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        y = windows(F.pad(self.head(x), (0, -w % 8, 0, -h % 8)))
        y = self.attention(y, y, y)[0]
        across = -(-w // 8)
        y = y.reshape(1, -1, across, 8, 8, 48).permute(0, 5, 1, 3, 2, 4).reshape(1, 48, -1, 8 * across)
        return F.pixel_shuffle(self.tail(y[..., :h, :w]), 2)


def test_windows_that_need_padding_are_counted_at_the_real_size() -> None:
    complexity = count(Window().eval(), (1, 3, 97, 161))
    padded = 104 * 168
    assert complexity.macs == 97 * 161 * 9 * 48 * (3 + 12) + padded * (4 * 48**2 + 2 * 64 * 48)
    assert complexity.incomplete_ops == ()
    assert "at 97x161, on meta tensors" in complexity.source
    assert "not proportional to the number of pixels" in complexity.source
    assert "of" in complexity.source
    assert "fvcore counts" in complexity.source


class NeedsData(nn.Module):
    """Pads to windows and looks at a pixel, which is impossible without data."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Window()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.clamp(0, 1) if x.max().item() > 1 else x)


def test_without_a_meta_pass_the_real_size_is_run_once() -> None:
    complexity = count(NeedsData().eval(), (1, 3, 97, 161))
    assert complexity.macs == count(Window().eval(), (1, 3, 97, 161)).macs
    assert "in one forward pass" in complexity.source


def test_a_count_that_ran_out_of_time_is_missing() -> None:
    complexity = count(NeedsData().eval(), SHAPE, limit_s=0)
    assert complexity.macs is None
    assert "takes too long" in complexity.source


def test_a_scripted_and_a_traced_network_are_counted() -> None:
    body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))
    for network in (torch.jit.script(body.eval()), torch.jit.trace(body.eval(), torch.rand(1, 3, 24, 24))):
        complexity = count(network, SHAPE)
        assert complexity.macs == P * 9 * (24 + 96)
        assert complexity.activations == P * 20
        assert complexity.incomplete_ops == ()


def test_inference_mode_inside_the_network_hides_nothing() -> None:
    class Inside(nn.Sequential):
        @torch.inference_mode()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    upsampling = nn.Upsample(scale_factor=2, mode="bilinear")
    complexity = count(Inside(nn.Conv2d(3, 8, 3, padding="same"), nn.Conv2d(8, 12, 1), upsampling).eval(), SHAPE)
    assert (complexity.macs, complexity.activations) == (P * (27 * 8 + 96 + 4 * 12 * 4), P * 20)


def test_activations_of_a_convolution_with_same_padding_and_of_attention() -> None:
    assert count(nn.Conv2d(3, 8, 3, padding="same"), SHAPE).activations == 8 * P
    complexity = counted(lambda y: F.scaled_dot_product_attention(*[windows(y)[:, None]] * 3))
    assert complexity.activations == 8 * P + 64 * P + 8 * P  # head, scores, output


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda y: torch.fft.rfft2(y), "aten::_fft_r2c"),
        (lambda y: torch.linalg.solve(torch.eye(8), y.flatten(2)), "aten::_linalg_solve_ex"),
        (lambda y: torch.ops.counted.mix(y), "counted::mix"),
    ],
)
def test_an_operator_that_can_hold_products_is_named(act: Callable[[Tensor], object], name: str) -> None:
    assert counted(act).incomplete_ops == (name,)


@torch.library.custom_op("counted::mix", mutates_args=())
def mix(y: Tensor) -> Tensor:
    """Mix channels where torch's dispatcher does not see it."""
    return torch.from_numpy(y.numpy() @ y.numpy().swapaxes(-1, -2))


@mix.register_fake
def _(y: Tensor) -> Tensor:
    return y.new_empty((*y.shape[:-1], y.shape[-2]))


def flex(y: Tensor) -> object:
    heads = windows(y)[:, None]
    return flex_attention(heads, heads, heads)


def thrice(y: Tensor) -> object:
    return while_loop(lambda i, _: i < 3, lambda i, z: (i + 1, F.conv2d(z, WEIGHT, padding=1)), (torch.tensor(0), y))


HIGHER: dict[str, tuple[Callable[[Tensor], object], int]] = {
    "flex_attention": (flex, 2 * 64 * 8 * P),
    "cond": (
        lambda y: torch.cond(torch.tensor(True), lambda z: F.conv2d(z, WEIGHT, padding=1), torch.neg, (y,)),
        576 * P,
    ),
    "while_loop": (thrice, 3 * 576 * P),
    "compile": (lambda y: torch.compile(lambda z: F.conv2d(z, WEIGHT, padding=1), backend="eager")(y), 576 * P),
}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", HIGHER)
def test_operators_that_call_functions_are_counted_by_their_parts(name: str) -> None:
    function, expected = HIGHER[name]
    network = Calls(function).eval()
    with torch.no_grad():
        network(torch.rand(1, 3, H, W))  # a network has been called before it is counted
    complexity = count(network, SHAPE)
    assert added(complexity) == pytest.approx(expected, rel=1e-9)
    assert complexity.incomplete_ops == ()


def test_an_operator_whose_parts_are_not_seen_is_named() -> None:
    def step(carry: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        return carry + row @ torch.ones(8, 8), row.clone()

    network = Calls(lambda y: scan(step, torch.zeros(1, 8), tokens(y)[0, :16, None])).eval()
    with torch.no_grad():
        network(torch.rand(1, 3, H, W))
    assert count(network, SHAPE).incomplete_ops == ("scan",)


def test_a_lock_does_not_prevent_counting() -> None:
    import threading

    network = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)).eval()
    network.lock = threading.Lock()
    assert count(network, SHAPE).macs == P * 27 * 12


def test_a_merged_weight_of_the_first_pass_is_not_foreign() -> None:
    class Merges(nn.Conv2d):
        merged = None

        def forward(self, x: Tensor) -> Tensor:
            if self.merged is None:
                self.merged = (2 * self.weight).detach()
            return F.conv2d(x, self.merged, padding=1)

    assert count(Merges(3, 12, 3).eval(), SHAPE).incomplete_ops == ()


def test_products_of_another_library_make_the_count_a_lower_bound() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            pixels = y.detach().numpy()
            return y + torch.from_numpy(pixels @ pixels.swapaxes(-1, -2) @ pixels)

    complexity = count(Branch().eval(), SHAPE)
    assert complexity.macs == 81 * P
    assert complexity.incomplete_ops == ("intermediate results are computed outside of torch",)


def test_a_network_of_another_library_has_no_count() -> None:
    class Outside(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.numpy().repeat(2, 2).repeat(2, 3))

    complexity = count(Outside(), SHAPE)
    assert complexity.macs is None
    assert complexity.incomplete_ops == ("the output is computed outside of torch",)
