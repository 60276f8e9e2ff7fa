"""Count the parameters of a network."""

from __future__ import annotations

import torch
from torch import nn


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameter elements, shared tensors counted once."""
    return sum(parameter.numel() for parameter in parameters_of(network))


def parameters_of(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a network and all its parts, each once, whatever its classes' own methods return."""
    found: dict[int, nn.Parameter] = {}
    seen: set[int] = set()
    left = [network]
    while left:
        module = left.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module, torch.jit.ScriptModule):  # keeps its parameters elsewhere
            own, parts = list(module.parameters()), []
        else:
            own, parts = list(vars(module)["_parameters"].values()), list(vars(module)["_modules"].values())
        found.update((id(one), one) for one in own if one is not None)
        left += [part for part in parts if part is not None]
    return list(found.values())
