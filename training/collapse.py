"""Training forms at the cost of their inference form.

A reparameterizable block is linear, so its kernels can be multiplied together instead of applied one after another:
the forward pass runs one convolution and autograd flows through the product (Bhardwaj et al., "Collapsible Linear
Blocks for Super-Efficient Super Resolution", MLSys 2022). The parameters stay those of the training form.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional


def is_collapsible(block: nn.Module) -> bool:
    """Tell whether a block can give the single convolution that it equals."""
    return hasattr(block, "get_equivalent_kernel_bias")


def collapse(network: nn.Module) -> list[nn.Module]:
    """Make every reparameterizable block of ``network`` run as one convolution; return these blocks.

    The outermost block wins: a block inside another one is part of its product. Works in place and leaves
    parameters and their names alone.
    """
    collapsed: list[nn.Module] = []
    _visit(network, collapsed)
    return collapsed


def _visit(module: nn.Module, collapsed: list[nn.Module]) -> None:
    if is_collapsible(module):
        forward: Callable[[Tensor], Tensor] = partial(_single_convolution, module)
        module.forward = forward
        collapsed.append(module)
        return
    for child in module.children():
        _visit(child, collapsed)


def _single_convolution(block: nn.Module, features: Tensor) -> Tensor:
    kernel, bias = equivalent_kernel(block)
    return functional.conv2d(features, kernel, bias, padding=kernel.shape[-1] // 2)


def equivalent_kernel(block: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return the kernel (out x in x k x k) and bias that a block equals, in float32 whatever autocast says."""
    with torch.autocast("cpu", enabled=False):
        kernel, bias = block.get_equivalent_kernel_bias()  # type: ignore[operator]
    return kernel, bias
