"""Count the parameters of a network."""

from __future__ import annotations

from torch import nn


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameter elements, shared tensors counted once."""
    return sum(parameter.numel() for parameter in network.parameters())
