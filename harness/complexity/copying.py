"""Copy networks whose classes do not support copying completely."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def copied(network: Network) -> Network:
    """Return a deep copy of a network. What cannot be copied, such as a lock or an open file, is shared with it.

    Modules, parameters and buffers are never shared, so that the copy can be changed.

    Raises
    ------
    Exception
        The network itself cannot be copied, for example because its ``__deepcopy__`` raises or returns the network.
    """
    try:
        made = copy.deepcopy(network)
    except Exception:  # noqa: BLE001 -- submitted classes may raise anything; what they share is found out below
        # deepcopy takes what the memo holds for an id instead of copying the object.
        made = copy.deepcopy(network, _shared(network))
    # Submitted classes decide what is copied: their __deepcopy__ or __reduce__ may return an object that exists.
    if kind := _kind_in_common(network, made):
        raise copy.Error(f"its copy shares {kind} with it")
    return made


def _kind_in_common(network: nn.Module, made: nn.Module) -> str:
    """Return what a copy has in common with its original: modules, tensors or memory; nothing if it is a copy."""
    # The lists keep their objects alive, so that no two have the same id.
    (modules, tensors), (new_modules, new_tensors) = _parts(network), _parts(made)
    if _ids(modules) & _ids(new_modules):
        return "modules"
    if _ids(tensors) & _ids(new_tensors):
        return "tensors"
    return "memory" if _addresses(tensors) & _addresses(new_tensors) else ""


def _parts(network: nn.Module) -> tuple[list[nn.Module], list[Tensor]]:
    """Return the modules, and the parameters and buffers."""
    return list(network.modules()), [*network.parameters(), *network.buffers()]


def _ids(values: Iterable[object]) -> set[int]:
    return {id(value) for value in values}


def _addresses(tensors: Iterable[Tensor]) -> set[int]:
    """Return where the values of the tensors are stored; nothing for sparse tensors and those on the meta device."""
    found = set()
    for tensor in tensors:
        with suppress(NotImplementedError, RuntimeError):
            found.add(tensor.untyped_storage().data_ptr())
    return found - {0}


def frozen(network: Network) -> Network:
    """Return the network in eval mode and without gradients, without a further call of ``train`` or ``eval``.

    Submitted networks override them, for example to fuse their branches, and not all can be called twice. They were
    called when the network was loaded; modules that were added since then only get the flag.
    """
    for module in network.modules():
        module.training = False
    for parameter in network.parameters():  # ScriptModules have no requires_grad_()
        parameter.requires_grad_(False)
    return network


def _shared(network: nn.Module) -> dict[int, Any]:
    """Return what takes the place of that which cannot be copied, by id, as the ``memo`` of :func:`copy.deepcopy`.

    For tensors this is a tensor of the same values, for other objects the object itself.
    """
    shared: dict[int, Any] = {}
    # Bound methods last: to copy one is to copy its object, which succeeds once its locks are known.
    for value in sorted(_attributes(network), key=lambda value: isinstance(value, MethodType)):
        try:
            # deepcopy adds to its memo; a copy of the memo keeps `shared` free of objects of this trial.
            copy.deepcopy(value, dict(shared))
        except Exception:  # noqa: BLE001 -- as above
            shared[id(value)] = _with_own_values(value) if isinstance(value, Tensor) else value
    return shared


def _with_own_values(tensor: Tensor) -> Tensor:
    """Return a tensor of the same class, values and attributes, without a call of its class.

    Sparse parameters, and those whose class requires further arguments, cannot be copied otherwise.
    """
    values = torch.Tensor._make_subclass(type(tensor), tensor.detach().clone(), tensor.requires_grad)
    vars(values).update(vars(tensor))
    return values


def _attributes(network: nn.Module) -> Iterator[Any]:
    """Yield the attributes, parameters and buffers of all modules, without the modules themselves."""
    for module in network.modules():
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers"):
                yield from value.values()
            elif name != "_modules" and not isinstance(value, str | int | float | bool | None):
                yield value
