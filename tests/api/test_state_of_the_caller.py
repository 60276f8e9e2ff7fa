"""Functions on a caller's network leave it and the settings of torch as they were, and do not depend on them."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import harness

GENERATOR = np.random.default_rng(0)
PAIRS = [tuple(GENERATOR.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (24, 48)) for _ in range(2)]


def small() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.Conv2d(32, 12, 1), nn.PixelShuffle(2))
    return network.train()


FUNCTIONS: dict[str, Callable[[nn.Module], object]] = {
    "evaluate": lambda network: harness.evaluate(network, PAIRS, 2),
    "complexity": lambda network: harness.complexity(network, (40, 56)),
    "reparameterize": lambda network: harness.reparameterize(network)[1],
    "benchmark": lambda network: harness.benchmark(network, (8, 9), budget_s=0.05).device,
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


class Merging(nn.Module):
    """Adds a correction to its weights for evaluation, and takes it off for training, as adapters of low rank do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.change = (nn.Parameter(torch.rand(12, 3, 1, 1)) for _ in range(2))
        self.is_merged = False

    def train(self, mode: bool = True) -> "Merging":
        super().train(mode)
        if self.is_merged == mode:
            with torch.no_grad():
                self.weight += -self.change if mode else self.change
            self.is_merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.is_merged else self.weight + self.change
        return functional.pixel_shuffle(functional.conv2d(x, weight), 2)


@every_function
def test_a_network_that_merges_its_weights_can_be_trained_on(function: Callable[[nn.Module], object]) -> None:
    network = nn.Sequential(nn.Identity(), Merging()).train()
    network[0].eval()
    before = network[1].weight.clone()
    function(network)
    assert (network[0].training, network[1].training, network[1].is_merged) == (False, True, False)
    assert torch.allclose(network[1].weight, before)


class Converting(nn.Module):
    """Removes a branch when it is set to evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 12, 1), nn.Conv2d(3, 12, 1)

    def train(self, mode: bool = True) -> "Converting":
        super().train(mode)
        if not mode:
            with torch.no_grad():
                self.one.weight += self.other.weight
            del self.other
        return self

    def forward(self, x: Tensor) -> Tensor:
        found = self.one(x) + self.other(x) if hasattr(self, "other") else self.one(x)
        return functional.pixel_shuffle(found, 2)


@every_function
def test_a_network_in_evaluation_mode_is_not_set_to_it_again(function: Callable[[nn.Module], object]) -> None:
    function(Converting().eval())


def test_a_network_that_converts_itself_in_eval_has_an_inference_form() -> None:
    form, proof = harness.reparameterize(Converting().train())
    assert proof.params_after == 3 * 12 + 12
    assert not any(module.training for module in form.modules())


@every_function
def test_an_exported_program_has_one_mode(function: Callable[[nn.Module], object]) -> None:
    sides = {2: torch.export.Dim("height", min=4, max=4096), 3: torch.export.Dim("width", min=4, max=4096)}
    shape = {0: torch.export.Dim("batch", max=64), **sides}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter
        program = torch.export.export(small().eval(), (torch.rand(2, 3, 24, 20),), dynamic_shapes=(shape,)).module()
        function(program)
        function(nn.Sequential(program))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SETTINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "none": nullcontext,
    "float64": lambda: default_dtype(torch.float64),
    "another device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_results_do_not_depend_on_settings_of_torch(settings: Callable[[], AbstractContextManager[object]]) -> None:
    network = small()
    with settings():
        assert harness.complexity(network, (40, 56)).macs == 40 * 56 * (3 * 32 * 9 + 32 * 12)
        assert harness.reparameterize(network)[1].params_after == 3 * 12 * 9 + 12
        assert harness.benchmark(network, (8, 9), budget_s=0.05).samples > 0


@every_function
def test_random_numbers_of_a_training_loop_go_on(function: Callable[[nn.Module], object]) -> None:
    network = small()
    before = torch.get_rng_state()
    function(network)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("trainable", [True, False])
def test_all_parameters_of_an_inference_form_are_trained_or_none(trainable: bool) -> None:
    network = nn.Sequential(small(), nn.PReLU(3), nn.Conv2d(3, 3, 3, padding=1)).requires_grad_(trainable)
    form, proof = harness.reparameterize(network)
    assert proof.method == "automatic"
    assert {parameter.requires_grad for parameter in form.parameters()} == {trainable}
