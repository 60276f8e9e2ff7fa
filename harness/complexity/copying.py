"""Copy networks whose classes do not support copying completely."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import MethodType
from typing import Any, TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def copied(network: Network) -> Network:
    """Return a deep copy of a network. What cannot be copied, such as a lock or an open file, is shared with it.

    Raises
    ------
    Exception
        The network itself cannot be copied, for example because its ``__deepcopy__`` raises.
    """
    try:
        return copy.deepcopy(network)
    except Exception:  # noqa: BLE001 -- submitted classes may raise anything; what they share is found out below
        # deepcopy takes what the memo holds for an id instead of copying the object.
        return copy.deepcopy(network, _shared(network))


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
    """Return what cannot be copied, by id, as the ``memo`` of :func:`copy.deepcopy`."""
    shared: dict[int, Any] = {}
    # Bound methods last: to copy one is to copy its object, which succeeds once its locks are known.
    for value in sorted(_attributes(network), key=lambda value: isinstance(value, MethodType)):
        try:
            # deepcopy adds to its memo; a copy of the memo keeps `shared` free of objects of this trial.
            copy.deepcopy(value, dict(shared))
        except Exception:  # noqa: BLE001 -- as above
            shared[id(value)] = value
    return shared


def _attributes(network: nn.Module) -> Iterator[Any]:
    """Yield the attributes, parameters and buffers of all modules, without the modules themselves."""
    for module in network.modules():
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers"):
                yield from value.values()
            elif name != "_modules" and not isinstance(value, str | int | float | bool | None):
                yield value
