"""Trace the forward pass of a network, keeping modules that cannot be traced as single nodes.

``torch.fx`` rejects a network at the first data-dependent branch, item assignment or assertion. Here, only the
innermost module in which this occurs becomes a leaf; the remaining network is traced.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn
from torch.fx.proxy import Proxy

from harness.complexity.copying import copied


class Untraceable(Exception):  # noqa: N818  # always handled, never shown to a user
    """Raised if the network's own forward method, outside its submodules, cannot be traced."""


class InPlaceProxy(Proxy):
    """Proxy that records ``x += y`` as an in-place operation.

    The default proxy records ``x = x + y`` and loses the change that other references to the tensor would see.
    """

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


class LeafFallbackTracer(fx.Tracer):
    """Tracer that records a module as a leaf if tracing its forward raises.

    Parameters
    ----------
    leaves
        Paths of modules that are not traced into.
    """

    def __init__(self, leaves: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._leaves = leaves

    def proxy(self, node: fx.Node) -> Proxy:
        """Wrap a node in a proxy that records in-place operators."""
        return InPlaceProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether to stop at a module: one of torch, or one of the given leaves."""
        return module_qualified_name in self._leaves or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace a module; if this fails, erase the nodes recorded for it and record it as a leaf."""
        last = next(iter(reversed(self.graph.nodes)), None)
        stack = dict(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:  # noqa: BLE001  # submitted code may raise anything when it is given a proxy
            self._erase_after(last)
            # The exception skipped the exits of nested modules, which would have restored the stack.
            self.module_stack.clear()
            self.module_stack.update(stack)
            return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)

    def _erase_after(self, last: fx.Node | None) -> None:
        for node in reversed(self.graph.nodes):
            if node is last:
                break
            self.graph.erase_node(node)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Look up a parameter after removing proxies of erased nodes from the cache."""
        alive = set(self.graph.nodes)
        for name in [n for n, proxy in parameter_proxy_cache.items() if proxy.node not in alive]:
            del parameter_proxy_cache[name]
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def trace(network: nn.Module, leaves: frozenset[str] = frozenset()) -> fx.GraphModule:
    """Trace a network in its current mode (training or eval).

    Parameters
    ----------
    network
        The network; it is not changed, because the graph calls modules of a deep copy.
    leaves
        Paths of modules that are not traced into.

    Raises
    ------
    Untraceable
        If the network's own forward cannot be traced.
    """
    # Trace one copy and attach the graph to another: tracing runs the forward method, which may modify the network.
    scratch = copied(network)
    try:
        graph = LeafFallbackTracer(leaves).trace(scratch)
        root = copied(network)
        _copy_constants(graph, scratch, root)
        return fx.GraphModule(root, graph)
    except Exception as error:
        raise Untraceable(f"{type(error).__name__}: {error}".splitlines()[0]) from error


def _copy_constants(graph: fx.Graph, traced: nn.Module, root: nn.Module) -> None:
    """Register tensors that were created during tracing, independently of the input, as buffers of the other copy."""
    for node in graph.nodes:
        if node.op == "get_attr" and not hasattr(root, str(node.target).split(".")[0]):
            root.register_buffer(str(node.target), operator.attrgetter(str(node.target))(traced))


def is_compute(node: fx.Node) -> bool:
    """Return whether a node is a call, that is, neither the input, the output nor an attribute access."""
    return node.op in ("call_module", "call_function", "call_method")


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, or None if it does not call a module."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None
