"""What all functions that run a caller's network need: evaluation mode, the device, the dtype."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from harness.errors import UsageError

Size = tuple[int, int]


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode, without gradients; afterwards each of its modules gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        # Not inference mode: buffers that the network makes here are used in training later.
        with torch.no_grad():
            yield
    finally:
        # Not `train(mode)`, which would set all modules below it as well.
        for module, mode in modes:
            module.training = mode


def place_of(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and the floating-point dtype of a network's parameters; CPU and float32 without any."""
    tensors = [*network.parameters(), *network.buffers()]
    floating = (tensor for tensor in tensors if tensor.is_floating_point())
    first = next(floating, torch.empty(0))
    return first.device, first.dtype


def checked_size(size: Size) -> Size:
    """Return the height and width of an input.

    Raises
    ------
    UsageError
        They are not two positive integers.
    """
    try:
        height, width = map(operator.index, size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise UsageError(f"the size is {size!r}", hint="give height and width of the input, such as (1080, 1920)")
    return height, width


def checked_count(value: int, name: str) -> int:
    """Return a number that is at least 1, such as a size multiple.

    Raises
    ------
    UsageError
        It is not a positive integer.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise UsageError(f"the {name} is {value!r}", hint="give a positive integer")
    return count


def checked_range(value_range: float) -> float:
    """Return the value of white.

    Raises
    ------
    UsageError
        It is not 1 or 255.
    """
    if value_range not in (1, 255):
        raise UsageError(f"the value range is {value_range!r}", hint="it is 1 or 255")
    return value_range
