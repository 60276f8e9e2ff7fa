"""The author's own reparameterization: find the method by its usual names, call it, survive it.

Training forms come with many conventions. A method of the whole network (``fuse_model``), of its blocks
(RepVGG's ``switch_to_deploy``), in place or giving a new network; a function of the module that defines the
network. Whatever is found runs on a copy, because several published converters alter the network they read.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

HOOK_NAMES = (
    "switch_to_deploy",
    "switch_deploy",
    "fuse_model",
    "reparameterize",
    "reparametrize",
    "reparameterize_model",
    "repblock_convert",
    "convert_to_deploy",
    "to_inference",
    "collapse",
    "merge",
    "merge_kernel",
    "merge_bn",
    "merge_parameters",
    "rep_params",
    "repa",
    "fuse",
    "fuse_convs",
    "update_params",
    "deploy",
)
"""Method names of published training forms, the most telling first."""


@dataclass(frozen=True, slots=True)
class AuthorForm:
    """What the author's method made.

    Attributes
    ----------
    network
        The converted copy, or None where there is no method, it crashed or it changed nothing.
    hook
        Name of the method that was called, or None.
    note
        Why there is no network, for the reader of the report; empty where there is one or none was expected.
    """

    network: nn.Module | None
    hook: str | None = None
    note: str = ""


def convert(network: nn.Module, hook: str | None) -> AuthorForm:
    """Call the author's method on a deep copy of the network.

    Parameters
    ----------
    network
        The training form in eval mode; it is not changed.
    hook
        The method's name as the manifest gives it, or None to look for :data:`HOOK_NAMES`.
    """
    name = hook or find_hook(network)
    if name is None:
        return AuthorForm(None)
    try:
        converted = _call(copy.deepcopy(network), name)
    except Exception as error:  # noqa: BLE001  # foreign code raises anything, and it becomes a remark
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return AuthorForm(None, name, f"the author's {name} failed ({reason})")
    if converted is None:
        return AuthorForm(None, name, f"the network has no method {name} that can be called without arguments")
    converted.eval()
    if _fingerprint(converted) == _fingerprint(network) and type(converted) is type(network):
        return AuthorForm(None, name, f"the author's {name} changes nothing")
    return AuthorForm(converted, name)


def find_hook(network: nn.Module) -> str | None:
    """Find the first of the usual names on the network itself, failing that on any of its submodules."""
    for modules in ((network,), tuple(network.modules())):
        for name in HOOK_NAMES:
            if any(_method(module, name) for module in modules):
                return name
    return None


def _method(module: nn.Module, name: str) -> Callable[[], object] | None:
    """Give the bound method where the author's class defines it and it needs no argument."""
    defined = getattr(type(module), name, None)
    if defined is None or defined is getattr(nn.Module, name, None) or type(module).__module__.startswith("torch."):
        return None
    method = getattr(module, name)
    return method if callable(method) and _takes_nothing(method, 0) else None


def _takes_nothing(function: Callable[..., object], given: int) -> bool:
    parameters = list(inspect.signature(function).parameters.values())[given:]
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not inspect.Parameter.empty or p.kind in free for p in parameters)


def _call(network: nn.Module, name: str) -> nn.Module | None:
    """Call on the network, else on its submodules, else as a function of the defining module."""
    if method := _method(network, name):
        return _module_or(method(), network)
    if any(_method(module, name) for module in network.modules()):
        _call_submodules(network, name)
        return network
    function = getattr(sys.modules.get(type(network).__module__), name, None)
    if callable(function) and not isinstance(function, type) and _takes_nothing(function, 1):
        return _module_or(function(network), network)
    return None


def _module_or(result: object, network: nn.Module) -> nn.Module:
    return result if isinstance(result, nn.Module) else network


def _call_submodules(network: nn.Module, name: str) -> None:
    """Convert every submodule that has the method, outermost first, none that a parent converted."""
    before = {path: _fingerprint(module) for path, module in network.named_modules() if _method(module, name)}
    for path, fingerprint in before.items():
        module = _at(network, path)
        method = module and _method(module, name)
        if module is None or method is None or _fingerprint(module) != fingerprint:
            continue
        replacement = _module_or(method(), module)
        if replacement is not module:
            parent, _, attribute = path.rpartition(".")
            setattr(network.get_submodule(parent), attribute, replacement)


def _at(network: nn.Module, path: str) -> nn.Module | None:
    try:
        return network.get_submodule(path)
    except AttributeError:
        return None


def _fingerprint(module: nn.Module) -> list[tuple[str, int]]:
    """Give the names and contents of the state, so that a conversion shows and a deep copy does not."""
    return [(name, hash(tensor.detach().cpu().numpy().tobytes())) for name, tensor in _state(module)]


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()
