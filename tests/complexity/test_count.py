"""Compare counts with closed forms, published values and torch's own counter."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._C import _len_torch_dispatch_stack
from torch.nn import functional as F

from harness.complexity.count import _Counting, count

FULL_HD = (1, 3, 1080, 1920)
PIXELS = 1080 * 1920


class ResidualNet(nn.Module):
    """LRSRN's published inference form: 3-32, four 32-32, plus the head's output, 32-12."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 32, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(4))
        self.tail = nn.Conv2d(32, 12, 3, padding=1)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        features = first = self.act(self.head(x))
        for convolution in self.body:
            features = self.act(convolution(features))
        return F.pixel_shuffle(self.tail(features + first), 2)


def test_published_figures_of_lrsrn() -> None:
    complexity = count(ResidualNet(), FULL_HD)
    assert complexity.params == 41_356
    assert complexity.macs == 85_399_142_400  # fvcore's count at the full size
    assert complexity.activations == PIXELS * (5 * 32 + 12)
    assert round(complexity.macs_ntire23 / 1e9, 4) == 85.7309  # printed in the challenge report
    assert complexity.incomplete_ops == ()
    assert "agrees" in complexity.source


def test_a_transposed_convolution_is_counted_at_its_input() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ConvTranspose2d(8, 3, 9, 2, 4, output_padding=1))
    complexity = count(network, FULL_HD)
    assert complexity.macs == PIXELS * (25 * 24 + 81 * 24)
    assert complexity.macs_ntire23 == PIXELS * (25 * 24 + 4 * 81 * 24)


class Blurred(nn.Module):
    """A convolution module 3-12 and a 5x5 blur of three channels as a function, as in RT4KSR."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.register_buffer("kernel", torch.full((3, 1, 5, 5), 0.04))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(F.conv2d(x, self.kernel, padding=2, groups=3)), 2)


def test_the_challenge_counts_convolution_modules_and_not_functions() -> None:
    complexity = count(Blurred(), FULL_HD)
    assert complexity.macs == PIXELS * (27 * 12 + 25 * 3)
    assert complexity.macs_ntire23 == PIXELS * 27 * 12


def test_the_challenge_counts_all_convolutions_of_a_network_without_modules() -> None:
    exported = torch.export.export(Blurred().eval(), (torch.rand(1, 3, 48, 48),)).module()
    shape = (1, 3, 48, 48)
    assert count(exported, shape).macs_ntire23 == 48 * 48 * (27 * 12 + 25 * 3)


def test_attention_over_pooled_channels_does_not_grow_with_the_image() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 12, 3, padding=1)
            self.gate = nn.Conv2d(12, 12, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return F.pixel_shuffle(y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True))), 2)

    complexity = count(Attention(), FULL_HD)
    assert complexity.macs == PIXELS * 27 * 12 + 144
    assert complexity.incomplete_ops == ()


def test_grouped_and_strided_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.Conv2d(12, 48, 3, padding=1, groups=12))
    assert count(network, FULL_HD).macs == PIXELS // 4 * (27 * 12 + 9 * 48)


def test_a_network_that_wants_multiples_is_counted_at_the_padded_size() -> None:
    network = nn.Sequential(nn.PixelUnshuffle(7), nn.Conv2d(147, 4, 1), nn.PixelShuffle(2))
    complexity = count(network, FULL_HD, size_multiple=7)
    assert complexity.macs == (1085 // 7) * (1925 // 7) * 147 * 4


def test_a_function_with_its_own_backward_is_counted_by_its_operators() -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor, weight: Tensor) -> Tensor:
            return 2 * F.conv2d(x, weight, padding=1)

    class Custom(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return Twice.apply(super().forward(x), self.weight)

    complexity = count(Custom(3, 3, 3, padding=1), FULL_HD)
    assert complexity.macs == 2 * PIXELS * 81
    assert complexity.incomplete_ops == ()


def test_what_leaves_torch_is_a_lower_bound() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(2 * self.conv(x).detach().numpy())

    complexity = count(Cut(), FULL_HD)
    assert complexity.macs == PIXELS * 81
    assert complexity.incomplete_ops == ("the output is computed outside of torch",)


class Recursive(nn.Module):
    """Work that depends on the width in steps."""

    def __init__(self, *, looks: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.looks = looks

    def forward(self, x: Tensor) -> Tensor:
        if self.looks and x.mean().item() < 0:
            return x
        for _ in range(1 + (x.shape[-1] // 24) % 3):
            x = self.conv(x)
        return x


def test_work_that_depends_on_more_than_the_size_is_counted_at_the_full_size() -> None:
    complexity = count(Recursive(looks=False), FULL_HD)
    assert complexity.macs == 3 * 81 * PIXELS
    assert complexity.incomplete_ops == ()
    assert "not proportional to the number of pixels" in complexity.source


def test_where_the_full_size_takes_too_long_the_count_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Counting, "_in_a_real_pass", lambda *_: None)
    complexity = count(Recursive(looks=True), FULL_HD)
    assert "count depends on more than the number of pixels" in complexity.incomplete_ops


def test_the_network_is_left_as_it_was() -> None:
    network = ResidualNet().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network, FULL_HD)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_that_never_runs_keeps_its_parameter_count() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    complexity = count(Broken(), FULL_HD)
    assert (complexity.params, complexity.macs) == (12, None)
    assert "not counted" in complexity.source


class HiddenWeights(nn.Module):
    """Two convolutions whose weights are no parameters, a fixed filter, and what is no weight."""

    def __init__(self, *, in_list: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        first, second = torch.randn(8, 3, 3, 3), torch.randn(12, 8, 3, 3)
        self.listed = [first, second]
        if not in_list:
            self.register_buffer("first", first)
            self.register_buffer("second", second)
        self.in_list = in_list
        self.norm = nn.BatchNorm2d(8)
        self.register_buffer("blur", torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16)
        self.register_buffer("places", torch.rand(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.listed if self.in_list else (self.first, self.second)
        x = F.conv2d(x, self.blur.expand(3, 1, 3, 3), padding=1, groups=3)
        x = F.conv2d(x, (2 * first)[:], padding=1)
        return F.pixel_shuffle(F.conv2d(self.norm(x) + self.places, second, padding=1), 2)


HIDDEN = 8 * 27 + 12 * 72


@pytest.mark.parametrize("in_list", [True, False])
def test_weights_that_are_no_parameters_count(in_list: bool) -> None:
    complexity = count(HiddenWeights(in_list=in_list), (1, 3, 90, 120))
    assert complexity.params == 16 + HIDDEN  # the normalization has 16 parameters
    named = "2 tensors that belong to no module" if in_list else "buffers first, second"
    assert complexity.note == f"parameters include 1,080 weights that are none ({named})"


class Hiding(nn.Sequential):
    """A network whose own methods say that it has no parameters."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return iter(())

    def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(())


def layers() -> list[nn.Module]:
    """Return the layers of a network of 16 * 28 + 16 + 32 + 12 * 145 parameters."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1)
    return [first, nn.PReLU(16), nn.GroupNorm(4, 16), second, nn.PixelShuffle(2)]


@pytest.mark.parametrize("kind", [nn.Sequential, Hiding])
def test_parameters_count_whatever_the_network_says(kind: type[nn.Sequential]) -> None:
    complexity = count(kind(*layers()).eval(), (1, 3, 90, 120))
    assert complexity.params == 16 * 28 + 16 + 32 + 12 * 145
    assert complexity.note == ""


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_weights_that_are_no_parameters_count(bits: int) -> None:
    made = layers()
    for convolution in (made[0], made[3]):
        weight = convolution.weight.detach()
        step = weight.abs().max() / (2 ** (bits - 1) - 1)
        del convolution.weight
        convolution.register_buffer("weight", (weight / step).round() * step)
    complexity = count(nn.Sequential(*made).eval(), (1, 3, 90, 120))
    assert complexity.params == 16 * 28 + 16 + 32 + 12 * 145
    assert "buffers 0.weight, 3.weight" in complexity.note


class Transformed(nn.Module):
    """Fixed filters of many values: a cosine transform and an interpolation."""

    def __init__(self) -> None:
        super().__init__()
        places, frequencies = torch.arange(8.0), torch.arange(8.0)[:, None]
        cosines = torch.cos(torch.pi * (2 * places + 1) * frequencies / 16)
        self.register_buffer("bank", torch.einsum("ux,vy->uvxy", cosines, cosines).reshape(64, 1, 8, 8))
        one = torch.eye(9).reshape(9, 1, 3, 3)
        phases = F.interpolate(one, scale_factor=4, mode="bicubic")[:, 0, 4:8, 4:8].reshape(9, 16)
        self.register_buffer("phases", phases.T.reshape(16, 1, 3, 3).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        grey = x[:, :1]
        rough = F.conv2d(grey, self.bank, padding=4)[..., :-1, :-1].mean(1, keepdim=True)
        fine = F.pixel_shuffle(F.conv2d(grey, self.phases, padding=1), 4)
        return (F.avg_pool2d(fine, 2) + F.interpolate(rough, scale_factor=2)).expand(-1, 3, -1, -1)


def test_weights_that_are_constants_of_a_compiled_graph_count() -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))
    expected = count(network, FULL_HD).params
    frozen = torch.jit.freeze(torch.jit.trace(network.eval(), torch.rand(1, 3, 24, 24)))
    assert next(frozen.parameters(), None) is None
    assert count(frozen, FULL_HD).params == expected


class Masked(nn.Module):
    """A weight that is computed from a parameter and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 3, 3, 3))
        self.register_buffer("mask", torch.rand(12, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(x, self.weight * self.mask, padding=1), 2)


@pytest.mark.parametrize("network", [ResidualNet(), Blurred(), Masked(), Transformed()])
def test_what_is_no_weight_does_not_count(network: nn.Module) -> None:
    complexity = count(network, FULL_HD)
    assert complexity.params == sum(parameter.numel() for parameter in network.parameters())
    assert complexity.note == ""


class Threaded(nn.Module):
    """Half of its convolutions run in another thread, of its own or of a pool."""

    pool: ThreadPoolExecutor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 12, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        results: list[Tensor] = []

        def work() -> None:
            with torch.no_grad():
                results.append(self.second(x))

        if self.pool is None:
            thread = Thread(target=work)
            thread.start()
            thread.join()
        else:
            self.pool.submit(work).result()
        return F.pixel_shuffle(self.first(x) + results[0], 2)


@pytest.mark.parametrize("has_pool", [False, True])
def test_work_in_other_threads_counts(has_pool: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # its thread is older than the count
        monkeypatch.setattr(Threaded, "pool", pool if has_pool else None)
        complexity = count(Threaded(), FULL_HD)
        assert complexity.macs == 2 * PIXELS * 27 * 12
        assert complexity.activations == 2 * PIXELS * 12
        assert "on meta tensors" in complexity.source
        # Nothing stays in the thread of the pool.
        assert pool.submit(_len_torch_dispatch_stack).result() == 0


def test_results_of_a_thread_that_gets_its_work_in_another_way_make_a_lower_bound() -> None:
    tasks: SimpleQueue[Callable[[], Tensor] | None] = SimpleQueue()
    results: SimpleQueue[Tensor] = SimpleQueue()

    def serve() -> None:
        with torch.no_grad():
            while (task := tasks.get()) is not None:
                results.put(task())

    class Queued(Threaded):
        def forward(self, x: Tensor) -> Tensor:
            tasks.put(lambda: self.second(x))
            return F.pixel_shuffle(self.first(x) + results.get(), 2)

    thread = Thread(target=serve)
    thread.start()
    try:
        complexity = count(Queued(), (1, 3, 96, 128))
    finally:
        tasks.put(None)
        thread.join()
    assert complexity.incomplete_ops == ("intermediate results are computed outside of torch",)
