"""Functions that take the caller's own network: ``evaluate``, ``benchmark``, ``complexity``, ``reparameterize``."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import harness
from harness.data import add
from harness.errors import DataError, UsageError
from harness.quality import average, evaluate_pair, upscale_bicubic
from harness.worker.clock import Reading

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Bicubic(nn.Module):
    """The baseline of the scores, with a parameter that has a device and a dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(self.dropout(x * self.gain), scale_factor=2, mode="bicubic")


class Several(nn.Module):
    """Returns more than the image."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def small_network(width: int = 16) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 12, 3, padding=1), nn.PixelShuffle(2)
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Return pairs of two sizes."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:96, 0:128]
    waves = [np.sin(rows / (3 + k)) + np.cos(columns / (4 + k)) for k in range(5)]
    images = [np.uint8(127 + 60 * np.stack([wave] * 3, axis=-1) + generator.normal(0, 2)) for wave in waves]
    images.append(images[0][:64, :64])
    return [(np.ascontiguousarray(hr[::2, ::2]), hr) for hr in images]


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_the_figures_are_those_of_the_images(pairs: list[Pair], batch_size: int | None) -> None:
    expected = average([evaluate_pair(upscale_bicubic(lr, 2), hr) for lr, hr in pairs])
    assert harness.evaluate(Bicubic(), pairs, 2, batch_size=batch_size) == expected


@pytest.mark.parametrize("settings", [{"value_range": 255}, {"size_multiple": 7}])
def test_the_range_and_the_padding_change_no_figure_of_a_linear_upscaler(
    pairs: list[Pair], settings: dict[str, int]
) -> None:
    class Nearest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[-1] % settings.get("size_multiple", 1) == 0
            assert bool(x.max() > 1) == ("value_range" in settings)
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    expected = average([evaluate_pair(lr.repeat(2, 0).repeat(2, 1), hr) for lr, hr in pairs])
    assert harness.evaluate(Nearest(), pairs, 2, **settings) == expected  # type: ignore[arg-type]


def test_each_module_gets_its_own_mode_back(pairs: list[Pair]) -> None:
    network = Bicubic().train()
    network.dropout.eval()
    harness.evaluate(network, pairs[:1], 2)
    assert network.training
    assert not network.dropout.training
    network(torch.rand(1, 3, 4, 4)).sum().backward()  # gradients flow again
    assert network.gain.grad is not None


def test_a_set_is_opened_by_name() -> None:
    figures = harness.evaluate(Bicubic(), "embedded", 2)
    assert 20 < figures.psnr_rgb < 45
    with pytest.raises(UsageError, match="no data set or folder"):
        harness.evaluate(Bicubic(), "embeded", 2)


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (nn.Identity(), DataError, "for an input of"),
        (nn.Sequential(Bicubic(), nn.Threshold(2.0, float("nan"))), DataError, "not finite"),
    ],
)
def test_what_is_no_upscaled_image_is_refused(
    pairs: list[Pair], network: nn.Module, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        harness.evaluate(network, pairs, 2)
    with pytest.raises(DataError, match="no images"):
        harness.evaluate(network, [], 2)
    with pytest.raises(UsageError, match="value range"):
        harness.evaluate(network, pairs, 2, value_range=100)


def test_evaluation_in_a_training_loop_costs_little_more_than_passes_and_metrics(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, data = small_network(256), pairs[:4]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    lr, hr = (torch.stack([torch.from_numpy(pair[k]) for pair in data]).permute(0, 3, 1, 2) / 255 for k in (0, 1))
    spent = {"needed": 0.0}

    def timed(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            begin = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent["needed"] += time.process_time() - begin

        return call

    monkeypatch.setattr("harness.api.evaluation.evaluate_pair", timed(evaluate_pair))
    figures, overheads = [], []
    for step in range(20):
        functional.l1_loss(network(lr[..., :16, :16]), hr[..., :32, :32]).backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 4 == 3:
            spent["needed"], begin = 0.0, time.process_time()
            with monkeypatch.context() as patched:
                patched.setattr(network, "forward", timed(network.forward))
                figures.append(harness.evaluate(network, data, 2).psnr_rgb)
            overheads.append((time.process_time() - begin) / spent["needed"] - 1)
    assert figures[-1] > figures[0]
    assert min(overheads) <= 0.1  # of processor time, in the same call: other programs add nothing to it


class CountingClock:
    """A clock that takes a millisecond for every convolution."""

    name = "convolutions"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.convolutions = 0
        forward = nn.Conv2d.forward

        def counted(layer: nn.Conv2d, x: Tensor) -> Tensor:
            self.convolutions += 1
            return forward(layer, x)

        monkeypatch.setattr(nn.Conv2d, "forward", counted)

    def time(self, call: Callable[[], Tensor]) -> Reading:
        before = self.convolutions
        output = call()
        ms = float(self.convolutions - before)
        return Reading(ms, ms, output)


def test_the_time_is_that_of_the_clock_relative_to_the_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = CountingClock(monkeypatch)
    monkeypatch.setattr("harness.api.benchmarking.clock_for", lambda _device: clock)
    network = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(5))).train()
    found = harness.benchmark(network, (8, 9), budget_s=0.3)
    assert (found.median_ms, found.anchor_ms, found.ratio, found.fps) == pytest.approx((5, 2, 2.5, 200))
    assert found.ci_ms == pytest.approx((5, 5))
    assert network.training


def test_a_benchmark_needs_a_size_and_time() -> None:
    with pytest.raises(UsageError, match="budget"):
        harness.benchmark(small_network(), (48, 64), budget_s=0)
    with pytest.raises(UsageError, match="size"):
        harness.benchmark(small_network(), (48,))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not a tensor"):
        harness.benchmark(Several(), (3, 4), budget_s=0.1)


@pytest.mark.parametrize("number", [0, -2, 1.5, "2", None])
def test_numbers_that_are_no_counts_are_refused(pairs: list[Pair], number: Any) -> None:
    network = Bicubic()
    for call in (
        lambda: harness.evaluate(network, pairs, number),
        lambda: harness.evaluate(network, pairs, 2, size_multiple=number),
        lambda: harness.evaluate(network, pairs, 2, batch_size=number or 0),
        lambda: harness.complexity(network, (8, 9), size_multiple=number),
        lambda: harness.complexity(network, (8, number)),
        lambda: harness.complexity(network, number),
        lambda: harness.reparameterize(network, size_multiple=number),
    ):
        with pytest.raises(UsageError, match=r"(multiple|size|scale) is"):
            call()


@pytest.mark.parametrize("white", [0, 2, -1, float("nan"), "1"])
def test_values_of_white_that_no_network_has_are_refused(pairs: list[Pair], white: Any) -> None:
    network = Bicubic()
    for call in (
        lambda: harness.evaluate(network, pairs, 2, value_range=white),
        lambda: harness.benchmark(network, (8, 9), value_range=white, budget_s=0.1),
        lambda: harness.reparameterize(network, value_range=white),
    ):
        with pytest.raises(UsageError, match="value range"):
            call()


@pytest.mark.parametrize(
    "change",
    [
        lambda lr: np.float32(lr) / 255,  # would be taken for levels, and be black
        lambda lr: lr.transpose(2, 0, 1),
        lambda lr: lr[..., 0],
        lambda lr: torch.from_numpy(lr) / 255,
    ],
)
def test_lr_images_of_another_form_are_refused(pairs: list[Pair], change: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"an LR image has shape .* and dtype .*uint8"):
        harness.evaluate(Bicubic(), [(change(lr), hr) for lr, hr in pairs], 2)


def test_a_network_that_returns_levels_is_refused(pairs: list[Pair]) -> None:
    class Levels(Bicubic):
        def forward(self, x: Tensor) -> Tensor:
            return (super().forward(x) * 255).to(torch.uint8)

    with pytest.raises(DataError, match=r"returns torch\.uint8"):
        harness.evaluate(Levels(), pairs, 2)


def test_operations_follow_from_the_layers() -> None:
    found = harness.complexity(small_network(), (30, 40))
    assert found.macs == 30 * 40 * 9 * (3 * 16 + 16 * 12)
    assert found.params == 9 * (3 * 16 + 16 * 12) + 16 + 12


def test_the_inference_form_is_smaller_and_gives_the_same_image() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.Conv2d(32, 12, 1), nn.PixelShuffle(2))
    image = torch.rand(2, 3, 24, 30)
    form, proof = harness.reparameterize(network, image)
    assert proof.params_after == 3 * 12 * 9 + 12
    assert proof.params_before == sum(one.numel() for one in network.parameters())
    assert torch.allclose(form(image), network(image), atol=1e-5)
    assert not form.training
    with pytest.raises(UsageError, match="N x 3 x H x W"):
        harness.reparameterize(network, image[0])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class KeepsItsGrid(nn.Module):
    """Multiplies by a tensor that the first call of a size makes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.grids: dict[torch.Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grids.setdefault(x.shape, torch.linspace(0, 1, x.shape[-1]) + 1)
        return self.layer(x) * grid


def test_a_network_can_be_trained_after_it_was_timed() -> None:
    network = KeepsItsGrid()
    harness.benchmark(network, (8, 9), budget_s=0.1)
    network(torch.rand(1, 3, 8, 9)).sum().backward()
    assert network.layer.weight.grad is not None


def test_a_registered_set_whose_files_changed_is_read_again(
    tmp_path: Path, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    for folder, (_, hr) in zip(("one", "other"), pairs, strict=False):
        (tmp_path / folder).mkdir()
        Image.fromarray(hr).save(tmp_path / folder / "1.png")
    add("mine", tmp_path / "one")
    first = harness.evaluate(Bicubic(), "mine", 2)
    assert harness.evaluate(Bicubic(), "mine", 2) == first
    Image.fromarray(pairs[3][1]).save(tmp_path / "one" / "1.png")
    changed = harness.evaluate(Bicubic(), "mine", 2)
    add("mine", tmp_path / "other")
    assert len({first, changed, harness.evaluate(Bicubic(), "mine", 2)}) == 3


def test_a_folder_whose_files_changed_is_read_again(tmp_path: Path, pairs: list[Pair]) -> None:
    (tmp_path / "HR").mkdir()
    for number, (_, hr) in enumerate(pairs[:2]):
        Image.fromarray(hr).save(tmp_path / "HR" / f"{number}.png")
    first = harness.evaluate(Bicubic(), tmp_path, 2)
    assert harness.evaluate(Bicubic(), tmp_path, 2) == first
    Image.fromarray(pairs[3][1]).save(tmp_path / "HR" / "1.png")  # in the folder below
    changed = harness.evaluate(Bicubic(), tmp_path, 2)
    assert changed != first
    Image.fromarray(pairs[4][1]).save(tmp_path / "HR" / "2.png")
    assert harness.evaluate(Bicubic(), tmp_path, 2) != changed
