"""Fold torch's own parametrizations: weight and spectral normalization, orthogonal weights, pruning, and custom ones.

They compute a weight from other tensors before each forward pass. In inference the result is constant.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from harness.complexity.copying import copied


def make_copyable(network: nn.Module) -> None:
    """Detach the weights that torch's older hooks computed; a tensor with a gradient's history cannot be copied."""
    for module in network.modules():
        for hook in _hooks(module):
            name = _tensor_of(hook)
            value = module.__dict__.get(name)
            if isinstance(value, Tensor):
                setattr(module, name, value.detach())


def fold_parametrizations(network: nn.Module) -> tuple[nn.Module, list[str]]:
    """Replace every parametrized weight by its value.

    Parameters
    ----------
    network
        Network in eval mode that can be copied; it is not changed.

    Returns
    -------
    tuple
        The folded copy, or the given object if nothing is parametrized, and the names of the weights.
    """
    if not any(_is_parametrized(module) for module in network.modules()):
        return network, []
    work = copied(network)
    folded = []
    with torch.no_grad():
        for path, module in list(work.named_modules()):
            folded += [f"{path}.{name}".lstrip(".") for name in _fold(module)]
    return work, folded


def _is_parametrized(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module) or bool(_hooks(module))


def _fold(module: nn.Module) -> Iterator[str]:
    if parametrize.is_parametrized(module):
        _give_own_class(module)
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            trained = next(module.parametrizations[name].parameters(recurse=False), None) is not None  # type: ignore[index,union-attr]
            # leave_parametrized stores the computed value as the weight, in place of the original tensor.
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            if trained and name not in module._parameters:  # torch leaves a buffer where two tensors made the weight
                value = module._buffers.pop(name, None)
                value = module.__dict__.pop(name) if value is None else value
                module.register_parameter(name, nn.Parameter(value.detach(), requires_grad=False))
            yield name
    for key, hook in list(module._forward_pre_hooks.items()):
        if not isinstance(hook, WeightNorm | SpectralNorm | prune.BasePruningMethod):
            continue
        hook.remove(module)
        # The methods remove() do not delete the hook itself.
        module._forward_pre_hooks.pop(key, None)
        for state_hooks in (module._state_dict_hooks, module._load_state_dict_pre_hooks):
            for index, other in list(state_hooks.items()):
                # Spectral norm also registers hooks for state dicts, which remove() leaves in place; torch wraps one.
                if type(getattr(other, "hook", other)).__module__ == SpectralNorm.__module__:
                    del state_hooks[index]
        yield _tensor_of(hook)


def _give_own_class(module: nn.Module) -> None:
    """Replace the class that a copied module shares with its original: removal deletes properties of the class."""
    shared = type(module)
    attributes = {key: value for key, value in vars(shared).items() if key not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, attributes)


def _hooks(module: nn.Module) -> list[WeightNorm | SpectralNorm | prune.BasePruningMethod]:
    kinds = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, kinds)]


def _tensor_of(hook: WeightNorm | SpectralNorm | prune.BasePruningMethod) -> str:
    return str(hook._tensor_name if isinstance(hook, prune.BasePruningMethod) else hook.name)
