"""Call the author's own reparameterization method, which is found by its usual names.

Published training forms follow many conventions: a method of the whole network (``fuse_model``) or of its blocks
(``switch_to_deploy`` in RepVGG), converting in place or returning a new network, or a function in the Python module
that defines the network. The method runs on a copy because several published converters modify the network they read.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from harness.complexity.copying import copied, frozen

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
"""Names of conversion methods in published training forms, the most specific ones first."""


@dataclass(frozen=True, slots=True)
class AuthorForm:
    """Result of the author's conversion method.

    Attributes
    ----------
    network
        The converted copy; None if there is no method, or it raised an exception or changed nothing.
    hook
        Name of the method that was called, or None.
    note
        Reason why `network` is None, for the report; empty if there is a network or no method was found.
    """

    network: nn.Module | None
    hook: str | None = None
    note: str = ""


def convert(network: nn.Module, hook: str | None) -> AuthorForm:
    """Call the author's method on a deep copy of the network.

    Parameters
    ----------
    network
        Training form in eval mode; it is not changed.
    hook
        Method name from the manifest, or None to search for :data:`HOOK_NAMES`.
    """
    name = hook or find_hook(network)
    if name is None:
        return AuthorForm(None)
    try:
        converted = _call(copied(network), name)
    except Exception as error:  # noqa: BLE001  # submitted code may raise anything; the error is reported as a note
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return AuthorForm(None, name, f"the author's {name} failed ({reason})")
    if converted is None:
        return AuthorForm(None, name, f"the network has no method {name} that can be called without arguments")
    frozen(converted)  # not eval(), which some networks override and which may fuse a second time
    # A method that exists but does nothing, for example because the network was saved in inference form.
    if _fingerprint(converted) == _fingerprint(network) and type(converted) is type(network):
        return AuthorForm(None, name, f"the author's {name} changes nothing")
    return AuthorForm(converted, name)


def find_hook(network: nn.Module) -> str | None:
    """Return the first of :data:`HOOK_NAMES` that the network defines, else that a submodule defines, else None."""
    # The network's own methods have precedence over those of its blocks, whatever their names are.
    for modules in ((network,), tuple(network.modules())):
        for name in HOOK_NAMES:
            if any(_method(module, name) for module in modules):
                return name
    return None


def _method(module: nn.Module, name: str) -> Callable[[], object] | None:
    """Return the bound method if the author's class defines it and it can be called without arguments."""
    # Names such as `fuse` may also be methods of torch's own classes, which convert nothing.
    defined = getattr(type(module), name, None)
    # The class is examined, since an instance attribute such as a flag called `deploy` is no method of the author.
    if defined is None or defined is getattr(nn.Module, name, None) or type(module).__module__.startswith("torch."):
        return None
    method = getattr(module, name)
    return method if callable(method) and _needs_no_argument(method, 0) else None


def _needs_no_argument(function: Callable[..., object], skip: int) -> bool:
    """Return whether all parameters after the first `skip` ones are optional."""
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not inspect.Parameter.empty or p.kind in free for p in parameters)


def _call(network: nn.Module, name: str) -> nn.Module | None:
    """Call the method of the network, else of its submodules, else the function in the network's Python module."""
    if method := _method(network, name):
        return _module_or_default(method(), network)
    if any(_method(module, name) for module in network.modules()):
        _call_submodules(network, name)
        return network
    function = getattr(sys.modules.get(type(network).__module__), name, None)
    if callable(function) and not isinstance(function, type) and _needs_no_argument(function, 1):
        return _module_or_default(function(network), network)
    return None


def _module_or_default(result: object, network: nn.Module) -> nn.Module:
    # Methods that convert in place return None.
    return result if isinstance(result, nn.Module) else network


def _call_submodules(network: nn.Module, name: str) -> None:
    """Convert every submodule that has the method, parents first; skip submodules that a parent has converted."""
    before = {path: _fingerprint(module) for path, module in network.named_modules() if _method(module, name)}
    # Converting a parent may remove its children or replace them; compare fingerprints to convert each block only once.
    for path, fingerprint in before.items():
        module = _at(network, path)
        method = module and _method(module, name)
        if module is None or method is None or _fingerprint(module) != fingerprint:
            continue
        replacement = _module_or_default(method(), module)
        if replacement is not module:
            # The method may return the new block instead of converting in place.
            parent, _, attribute = path.rpartition(".")
            setattr(network.get_submodule(parent), attribute, replacement)


def _at(network: nn.Module, path: str) -> nn.Module | None:
    try:
        return network.get_submodule(path)
    except AttributeError:
        return None


def _fingerprint(module: nn.Module) -> list[tuple[str, int]]:
    """Return names and content hashes of all parameters and buffers, to detect whether a conversion changed them."""
    return [(name, hash(tensor.detach().cpu().numpy().tobytes())) for name, tensor in _state(module)]


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()
