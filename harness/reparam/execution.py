"""Record values, constants, aliases and in-place changes of the nodes during one run of a traced network."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, fx

from harness.reparam.double import float64_arithmetic

_KINDS = ("dtype", "device", "layout", "is_cuda", "ndim", "requires_grad")
"""Attributes of a tensor that are the same for every image."""
_MAKERS = ("new_tensor", "new_zeros", "new_ones", "new_full", "dim", "get_device")
"""Methods of a tensor whose results do not depend on its values or its shape."""


class Execution(fx.Interpreter):
    """Run a graph once on an image and record the result of each node.

    Parameters
    ----------
    graph
        The traced network.
    image
        Input of shape (1, C, H, W) in the dtype of the network.

    Attributes
    ----------
    values
        Result of each node; tensors are copied before any in-place change.
    constants
        Nodes whose values do not depend on the input.
    changed_by
        The first node that changed the tensor of a node in place.
    order
        Position of each node in the order of execution.
    frozen
        Nodes that must not be rewritten because an in-place change is visible through an alias of their tensor.
    """

    def __init__(self, graph: fx.GraphModule, image: Tensor) -> None:
        # All values stay alive, so that two tensors at the same address share their memory.
        super().__init__(graph, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}
        self.constants: set[fx.Node] = set()
        self.changed_by: dict[fx.Node, fx.Node] = {}
        self._live: dict[fx.Node, Tensor] = {}
        self.order: dict[fx.Node, int] = {}
        with torch.no_grad(), float64_arithmetic() if image.dtype == torch.float64 else nullcontext():
            # A copy, because the network may change its input in place.
            self.run(image.clone(), enable_io_processing=False)
        self.frozen = frozenset(self._frozen())

    def run_node(self, n: fx.Node) -> Any:
        """Execute a node and detect in-place changes of its arguments by torch's version counters."""
        self.order[n] = len(self.order)
        arguments = [node for node in n.all_input_nodes if node in self._live]
        versions = [self._live[node]._version for node in arguments]
        result = super().run_node(n)
        for node, version in zip(arguments, versions, strict=True):
            if self._live[node]._version != version:
                self.changed_by.setdefault(node, n)
        self._remember(n, result)
        return result

    def _remember(self, node: fx.Node, result: Any) -> None:
        if node.op == "get_attr" or (node.op != "placeholder" and self._depends_on_constants(node)):
            self.constants.add(node)
        if isinstance(result, Tensor):
            # Keep the tensor itself to detect aliases, and a copy of its value before later in-place changes.
            self._live[node] = result
            result = result.clone()
        self.values[node] = result

    def _depends_on_constants(self, node: fx.Node) -> bool:
        unread = self._read_for_their_kind(node)
        return all(argument in self.constants for argument in node.all_input_nodes if argument not in unread)

    def _read_for_their_kind(self, node: fx.Node) -> list[fx.Node]:
        """Return the inputs of which a call reads the dtype or device only, as in ``mask.to(x.device)``."""
        first, *rest = [*node.args, None]
        if (node.target is getattr and rest[0] in _KINDS) or (node.op == "call_method" and str(node.target) in _MAKERS):
            unread = [first]
        elif node.op == "call_method" and node.target in ("to", "type_as"):
            unread = [*rest, *node.kwargs.values()]
        else:
            unread = []
        return [one for one in unread if isinstance(one, fx.Node)]

    @property
    def changes_constants(self) -> bool:
        """Whether a value that does not depend on the input is changed in place, so that it has several values."""
        return any(node in self.constants for node in (*self.changed_by, *self.frozen))

    def shape(self, node: fx.Node) -> torch.Size | None:
        """Return the shape of a node's tensor, or None if its value is not a tensor."""
        value = self.values.get(node)
        return value.shape if isinstance(value, Tensor) else None

    def is_image(self, node: fx.Node) -> bool:
        """Return whether the value of a node is a 4-D tensor that depends on the input."""
        shape = self.shape(node)
        return shape is not None and len(shape) == 4 and node not in self.constants

    def _frozen(self) -> Iterator[fx.Node]:
        # An in-place change is harmless if the nodes that share the memory are used strictly one after another.
        # Otherwise a rewritten node would no longer see, or no longer make, the change.
        for group in self._aliases():
            changed = any(node in self.changed_by for node in group)
            if changed and not self._is_chain(group):
                yield from group

    def _aliases(self) -> list[list[fx.Node]]:
        groups: dict[int, list[fx.Node]] = defaultdict(list)
        for node, tensor in self._live.items():
            groups[tensor.untyped_storage().data_ptr()].append(node)
        return list(groups.values())

    def _is_chain(self, group: list[fx.Node]) -> bool:
        """Return whether each node of the group supersedes the one before it, so that only one is in use at a time."""
        return all(self._is_link(group[:index], group[index]) for index in range(1, len(group)))

    def _is_link(self, before: list[fx.Node], new: fx.Node) -> bool:
        """Return whether a node supersedes all earlier aliases.

        It does so if it is the first in-place change of the last one, or if no earlier alias is read after it.
        """
        users = [user for old in before for user in old.users]
        replaces = self.changed_by.get(before[-1]) is new or all(
            self.order.get(user, math.inf) <= self.order[new] for user in users
        )
        return replaces and self.is_same_tensor(before[-1], new)

    def is_same_tensor(self, old: fx.Node, new: fx.Node) -> bool:
        """Return whether both nodes refer to the same view of the same memory."""
        one, two = self._live.get(old), self._live.get(new)
        return (
            one is not None
            and two is not None
            and (one.data_ptr(), one.shape, one.stride()) == (two.data_ptr(), two.shape, two.stride())
        )


def rename_in_place(graph: fx.GraphModule, execution: Execution) -> None:
    """Redirect uses of a tensor after an in-place change to the node that made the change.

    The result is the same because both nodes refer to the same tensor, but the graph then states which value is used.
    """
    order = execution.order
    for old, new in sorted(execution.changed_by.items(), key=lambda pair: order[pair[0]]):
        if old in execution.frozen or not execution.is_same_tensor(old, new):
            continue
        old.replace_all_uses_with(new, delete_user_cb=lambda user, new=new: order[user] > order[new])  # type: ignore[misc]
    graph.recompile()
