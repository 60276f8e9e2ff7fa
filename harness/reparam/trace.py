"""Trace the forward pass of a network, keeping modules that cannot be traced as single nodes.

``torch.fx`` rejects a network at the first data-dependent branch, item assignment or assertion. Here, only the
innermost module in which this occurs becomes a leaf; the remaining network is traced.

A module that cannot be traced is tried a second time with its parameters as tensors instead of proxies. Whatever its
code computes from parameters alone is then executed, and its result becomes a constant of the graph.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
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
    executes_weights
        Whether parameters are tensors from the start, also outside of modules that fail otherwise.
    """

    def __init__(self, leaves: frozenset[str] = frozenset(), *, executes_weights: bool = False) -> None:
        super().__init__()
        self._leaves = leaves
        self._executes_weights = executes_weights

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
        # The nodes after this one belong to the module, and are erased if tracing fails.
        last = next(iter(reversed(self.graph.nodes)), None)
        stack, before = dict(self.module_stack), self._executes_weights
        # First with parameters as proxies; if that fails, with parameters as tensors.
        for executes_weights in (before, True) if not before else (True,):
            self._executes_weights = executes_weights
            try:
                return super().call_module(m, forward, args, kwargs)
            except Exception:  # noqa: BLE001  # submitted code may raise anything when it is given a proxy
                self._erase_after(last)
                # The exception skipped the exits of nested modules, which would have restored the stack.
                self.module_stack.clear()
                self.module_stack.update(stack)
            finally:
                self._executes_weights = before
        return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)

    def _erase_after(self, last: fx.Node | None) -> None:
        for node in reversed(self.graph.nodes):
            if node is last:
                break
            self.graph.erase_node(node)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Look up a parameter after removing proxies of erased nodes from the cache."""
        if self._executes_weights:
            return attr_val
        alive = set(self.graph.nodes)
        for name in [n for n, proxy in parameter_proxy_cache.items() if proxy.node not in alive]:
            del parameter_proxy_cache[name]
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def trace(
    network: nn.Module, leaves: frozenset[str] = frozenset(), *, executes_weights: bool = False
) -> fx.GraphModule:
    """Trace a network in its current mode (training or eval).

    Parameters
    ----------
    network
        The network; it is not changed, because the graph calls modules of a deep copy.
    leaves
        Paths of modules that are not traced into.
    executes_weights
        Whether what the code computes from parameters alone is executed, and its result a constant of the graph, also
        where it could be traced.

    Raises
    ------
    Untraceable
        If the network's own forward cannot be traced.
    """
    try:
        return _traced(network, LeafFallbackTracer(leaves, executes_weights=executes_weights))
    except Exception:  # noqa: BLE001  # the network's own forward may compute weights in a way that needs tensors
        try:
            return _traced(network, LeafFallbackTracer(leaves, executes_weights=True))
        except Exception as error:
            raise Untraceable((f"{type(error).__name__}: {error}".splitlines() or [""])[0]) from error


def _traced(network: nn.Module, tracer: LeafFallbackTracer) -> fx.GraphModule:
    # Trace one copy and attach the graph to another: tracing runs the forward method, which may modify the network.
    scratch, root = copied(network), copied(network)
    # By their history, constants that derive from parameters can be told from others.
    for parameter in scratch.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    with torch.enable_grad():
        graph = tracer.trace(scratch)
    merged = _copy_constants(graph, scratch, root)
    made = fx.GraphModule(root, graph)
    made.meta[MERGED_WEIGHTS] = merged
    return made


MERGED_WEIGHTS = "merged weights"
"""Key in the metadata of a traced network: names of the constants that its forward pass computes from parameters."""


def merged_weights(graph: fx.GraphModule) -> frozenset[str]:
    """Return the names of the constants that the forward pass of a traced network computes from its parameters."""
    return frozenset(graph.meta.get(MERGED_WEIGHTS, ()))


def _copy_constants(graph: fx.Graph, traced: nn.Module, root: nn.Module) -> frozenset[str]:
    """Register tensors that were created during tracing, independently of the input, in the other copy.

    Those that derive from parameters become parameters, whose names are returned, the others buffers.
    """
    merged = set()
    for node in graph.nodes:
        name = str(node.target)
        # What the network itself has exists in the copy already.
        if node.op == "get_attr" and not hasattr(root, name.split(".", maxsplit=1)[0]):
            value = operator.attrgetter(name)(traced)
            if value.requires_grad:
                root.register_parameter(name, nn.Parameter(value.detach(), requires_grad=False))
                merged.add(name)
            else:
                root.register_buffer(name, value)
    return frozenset(merged)


def is_compute(node: fx.Node) -> bool:
    """Return whether a node is a call, that is, neither the input, the output nor an attribute access."""
    return node.op in ("call_module", "call_function", "call_method")


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, or None if it does not call a module."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def delete_unused(graph: fx.GraphModule) -> None:
    """Remove modules that no node calls, and parameters and buffers that no node and no called module uses."""
    graph.delete_all_unused_submodules()
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_module"}
    read = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for name, _ in [*graph.named_parameters(), *graph.named_buffers()]:
        parent, _, attribute = name.rpartition(".")
        # A called module uses its own tensors and those of its submodules.
        owners = {name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)}
        if name not in read and not owners & called:
            delattr(graph.get_submodule(parent), attribute)
