"""The training form, its blocks and the inference form compute the same function, borders included."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

Build = Callable[[str, int], nn.Module]
Convert = Callable[[nn.Module], nn.Module]

REPARAMETERIZED = [("LRSRN", 2), ("LRSRN", 3), ("SESR", 2), ("SESR", 3), ("RT4KSR", 2), ("RT4KSR", 3)]


def _randomized(network: nn.Module) -> nn.Module:
    """Return the network in float64 with random parameters, so that no branch is multiplied by zero."""
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.2 if parameter.dim() < 2 else parameter[0].numel() ** -0.5)
    return network


def _blocks(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if hasattr(module, "get_equivalent_kernel_bias")]


@pytest.mark.parametrize(("name", "scale"), REPARAMETERIZED)
@pytest.mark.parametrize("size", [(13, 17), (5, 6), (24, 11)])
def test_both_forms_agree(build: Build, to_inference: Convert, name: str, scale: int, size: tuple[int, int]) -> None:
    training = _randomized(build(name, scale))
    inference = to_inference(copy.deepcopy(training))
    step = 2 if name == "RT4KSR" else 1
    frame = torch.rand(1, 3, size[0] // step * step, size[1] // step * step, dtype=torch.float64)
    with torch.inference_mode():
        before, after = training(frame), inference(frame)
    assert before.std() > 1e-2
    assert (before - after).abs().max() < 1e-9
    assert not _blocks(inference)


@pytest.mark.parametrize(("name", "scale"), REPARAMETERIZED)
def test_every_block_is_the_convolution_that_it_says(build: Build, name: str, scale: int) -> None:
    blocks = _blocks(_randomized(build(name, scale)))
    assert (
        len(blocks) == {"LRSRN2": 4, "LRSRN3": 6, "SESR2": 7, "SESR3": 7, "RT4KSR2": 6, "RT4KSR3": 6}[f"{name}{scale}"]
    )
    for block in blocks:
        weight, bias = block.get_equivalent_kernel_bias()
        frame = torch.randn(2, weight.shape[1], 9, 7, dtype=torch.float64)
        single = functional.conv2d(frame, weight, bias, padding=weight.shape[-1] // 2)
        direct = block(frame)
        assert (direct - single).abs().max() < 1e-9 * direct.abs().max()
        _assert_same_gradients(block, direct, single)


def _assert_same_gradients(block: nn.Module, direct: Tensor, single: Tensor) -> None:
    """Gradients through the single convolution equal those through the block."""
    target = torch.randn_like(direct)
    names, parameters = zip(*block.named_parameters(), strict=True)
    through_block = torch.autograd.grad((direct * target).sum(), parameters)
    through_kernel = torch.autograd.grad((single * target).sum(), parameters)
    for name, one, other in zip(names, through_block, through_kernel, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("name", ["LRSRN", "SESR", "RT4KSR"])
def test_the_inference_form_keeps_working_in_half_precision(build: Build, to_inference: Convert, name: str) -> None:
    network = build(name, 2)
    frame = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        full = network(frame)
        half = to_inference(network).to(torch.bfloat16)(frame.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).abs().max() < 0.05 * full.abs().max()


def test_rtsrn_is_not_linear(build: Build) -> None:
    """Unlike the copy behind the published figures, which never adds the activations it makes."""
    network = build("RTSRN", 2)
    one, other = torch.rand(2, 1, 3, 8, 8)
    with torch.inference_mode():
        zero = network(torch.zeros_like(one))
        apart = network(one) + network(other) - zero
        assert (network(one + other) - apart).abs().max() > 1e-4
