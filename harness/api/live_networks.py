"""What all functions that run a caller's network need: evaluation mode, the device, the dtype."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import nn

from harness.errors import UsageError

Size = tuple[int, int]


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Set a network to evaluation mode, without gradients; afterwards each of its modules gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    set_to_eval(network)
    try:
        # Not inference mode: buffers that the network makes here are used in training later.
        with torch.no_grad():
            yield
    finally:
        _set_back(modes)


def set_to_eval(network: nn.Module) -> None:
    """Set a network to evaluation mode, unless it is: those that convert themselves in ``eval`` do so once."""
    if any(module.training for module in network.modules()):
        _switch(network, training=False)


def _set_back(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    """Set modules to the modes that they had. Those that contain others come first."""
    for module, mode in modes:
        # A class that merges its weights for evaluation separates them in its own `train`.
        if module.training != mode:
            _switch(module, training=mode)
    for module, mode in modes:
        module.training = mode  # what `train` of a module around it has set


def _switch(module: nn.Module, *, training: bool) -> None:
    # Exported programs have one mode, and raise NotImplementedError.
    with suppress(NotImplementedError):
        module.train(training)


def place_of(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and the floating-point dtype of a network's parameters; CPU and float32 without any."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Let torch make float32 tensors on the CPU within the block, and compute in float32, whatever the caller has set.

    Afterwards its random numbers go on as if none had been drawn, so that a training loop stays reproducible.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"), torch.autocast("cpu", enabled=False), torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_default_dtype(dtype)


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
