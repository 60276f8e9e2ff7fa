"""The graph of a network's forward pass, with untraceable modules as single nodes.

``torch.fx`` gives up on a network at the first data-dependent branch, item assignment or assertion. Here only the
innermost module in which that happens becomes a leaf, and the rest of the network is still seen through.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn
from torch.fx.proxy import Proxy


class Untraceable(Exception):  # noqa: N818  # a finding of the trace, never shown to a user
    """The forward pass of the network itself, outside its submodules, cannot be traced."""


class InPlaceProxy(Proxy):
    """A proxy that records ``x += y`` as in place; the plain one would record a new value and lose the aliasing."""

    def __iadd__(self, other: object) -> object:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: object) -> object:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: object) -> object:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: object) -> object:
        return self._in_place(operator.itruediv, other)

    def _in_place(self, function: Callable[..., Any], other: object) -> object:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


class ForgivingTracer(fx.Tracer):
    """A tracer for which a module that cannot be traced is a leaf.

    Parameters
    ----------
    leaves
        Paths of modules that are not to be looked into.
    """

    def __init__(self, leaves: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._leaves = leaves

    def proxy(self, node: fx.Node) -> Proxy:
        """Wrap a node."""
        return InPlaceProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Stop at the modules of torch, and at those that were named."""
        return module_qualified_name in self._leaves or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace through a module, or take back what was recorded of it and keep it whole."""
        mark = next(iter(reversed(self.graph.nodes)), None)
        stack = dict(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:  # noqa: BLE001  # foreign code meets a proxy and raises anything
            self._take_back(mark)
            self.module_stack.clear()
            self.module_stack.update(stack)
            return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)

    def _take_back(self, mark: fx.Node | None) -> None:
        for node in reversed(self.graph.nodes):
            if node is mark:
                break
            self.graph.erase_node(node)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Look up a parameter, forgetting proxies whose nodes were taken back."""
        alive = set(self.graph.nodes)
        for name in [n for n, proxy in parameter_proxy_cache.items() if proxy.node not in alive]:
            del parameter_proxy_cache[name]
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def trace(network: nn.Module, leaves: frozenset[str] = frozenset()) -> fx.GraphModule:
    """Trace a network in its present mode.

    Parameters
    ----------
    network
        Not changed; modules that the graph calls are shared with a deep copy of it.
    leaves
        Paths of modules to keep whole.

    Raises
    ------
    Untraceable
        Where the network's own forward cannot be traced.
    """
    scratch = copy.deepcopy(network)
    try:
        graph = ForgivingTracer(leaves).trace(scratch)
        root = copy.deepcopy(network)
        _carry_constants(graph, scratch, root)
        return fx.GraphModule(root, graph)
    except Exception as error:
        raise Untraceable(f"{type(error).__name__}: {error}".splitlines()[0]) from error


def _carry_constants(graph: fx.Graph, traced: nn.Module, root: nn.Module) -> None:
    """Give the untouched copy those tensors that the forward pass made without its input."""
    for node in graph.nodes:
        if node.op == "get_attr" and not hasattr(root, str(node.target).split(".")[0]):
            root.register_buffer(str(node.target), operator.attrgetter(str(node.target))(traced))


def is_compute(node: fx.Node) -> bool:
    """Whether a node does something: neither the input, the output nor a look-up."""
    return node.op in ("call_module", "call_function", "call_method")


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Give the module that a node calls, or None for a function."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None
