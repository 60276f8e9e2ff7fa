"""Train reparameterizable blocks at the cost of their inference form.

A reparameterizable block is linear. Instead of applying its kernels one after another, they are composed to one kernel:
the forward pass runs one convolution, and gradients are propagated through the composition (Bhardwaj et al.,
"Collapsible Linear Blocks for Super-Efficient Super Resolution", MLSys 2022). The parameters remain those of the
training form.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional


def is_collapsible(block: nn.Module) -> bool:
    """Return whether a block can compute its equivalent convolution."""
    return hasattr(block, "get_equivalent_kernel_bias")


def collapse(network: nn.Module) -> list[nn.Module]:
    """Modify every reparameterizable block of ``network`` in place to run as one convolution; return these blocks.

    Blocks inside another block are part of its composition and are not modified. Parameters and their names do not
    change.
    """
    collapsed: list[nn.Module] = []
    _visit(network, collapsed)
    return collapsed


def _visit(module: nn.Module, collapsed: list[nn.Module]) -> None:
    if is_collapsible(module):
        # Replace the method of this instance only; parameters, and thus checkpoints, are not affected.
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
    """Return the kernel (out, in, k, k) and bias of a block's equivalent convolution, without autocast."""
    # Composing kernels in bfloat16 would lose precision that the two layers in sequence have.
    with torch.autocast("cpu", enabled=False):
        kernel, bias = block.get_equivalent_kernel_bias()  # type: ignore[operator]
    return kernel, bias
