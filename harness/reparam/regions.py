"""Find affine regions of a traced network, the convolution equivalent to each, and the cost that it saves.

From every image in the graph (the *base*), the identity map is propagated forward through operations that preserve
affine maps. Each node reached in this way (a *sink*) equals one convolution of the base. Replacing the sink frees the
nodes in between that have no other users. A region is worth collapsing if this lowers the multiply-accumulates, or
lowers the number of calls at equal multiply-accumulates.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from harness.reparam import affine
from harness.reparam.affine import AffineMap
from harness.reparam.execution import Execution
from harness.reparam.realize import ConvolutionForm, convolution_form
from harness.reparam.time_limit import check_time
from harness.reparam.trace import is_compute, merged_weights, module_of
from harness.reparam.vocabulary import ZERO_COST, ZERO_COST_MODULES, Result, apply_module, rule_of

MAX_COST_RATIO = 16
"""Propagation stops if the equivalent convolution costs more than this many times the operations visited so far."""

ProbedMaps = Mapping[str, AffineMap]
"""Measured maps of modules, by path."""


@dataclass(frozen=True, slots=True)
class Region:
    """Part of a graph that equals one convolution.

    Attributes
    ----------
    base, sink
        Node of the input image, and node that is replaced.
    value
        Map from base to sink.
    form
        Convolution that is equivalent to the map.
    freed
        Nodes without users after the sink is replaced, including the sink.
    macs_before, macs_after
        Multiply-accumulates at the image size of the recorded run.
    calls_before, calls_after
        Number of executed operations.
    """

    base: fx.Node
    sink: fx.Node
    value: AffineMap
    form: ConvolutionForm
    freed: frozenset[fx.Node]
    macs_before: int
    macs_after: int
    calls_before: int
    calls_after: int

    @property
    def saves(self) -> tuple[int, int]:
        """Numbers of multiply-accumulates and calls that the collapse saves; negative if it adds some."""
        return self.macs_before - self.macs_after, self.calls_before - self.calls_after

    @property
    def is_gain(self) -> bool:
        """Whether the collapse lowers the multiply-accumulates, or the calls at equal multiply-accumulates."""
        # Tuples are compared by their first elements, and by the second ones where these are equal.
        return self.saves > (0, 0) and self.saves[0] >= 0

    @property
    def rank(self) -> tuple[int, ...]:
        """Sort key: larger savings first, then smaller pixel-shuffle factors, then more freed nodes."""
        return (*self.saves, -self.value.shuffle, len(self.freed))

    @property
    def place(self) -> str:
        """Path of the innermost module that contains the sink, else of a module that the region contains."""
        # Sorted, because the order of a set differs between processes.
        paths = [module_path(node) for node in (self.sink, *sorted(self.freed, key=lambda node: node.name))]
        return next((path for path in paths if path), self.sink.name)

    def __str__(self) -> str:
        out_channels, in_channels, height, width = self.form.weight.shape
        size = f"{height}x{width} {in_channels * self.form.groups}-{out_channels}"
        return f"{self.calls_before} calls up to {self.place} into one convolution {size}"


def module_path(node: fx.Node) -> str:
    """Return the path of the innermost module that contains a node; empty if this is the network itself."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    return next((path for path, _ in reversed(stack.values()) if path), "")


class RegionFinder:
    """Find the regions of one traced network.

    Parameters
    ----------
    graph
        Traced network.
    execution
        Recorded run of the network.
    probed
        Measured maps of modules that could not be traced.
    probed_macs
        Multiply-accumulates of these modules at the image size of the recorded run.
    """

    def __init__(
        self, graph: fx.GraphModule, execution: Execution, probed: ProbedMaps, probed_macs: Mapping[str, int]
    ) -> None:
        self._graph = graph
        self._execution = execution
        self._probed = probed
        self._probed_macs = probed_macs
        self._nodes = list(graph.graph.nodes)
        self._merged = merged_weights(graph)
        self._is_late: Callable[[], bool] = lambda: False

    def regions(self, is_late: Callable[[], bool] = lambda: False) -> list[Region]:
        """Return all regions whose collapse lowers the cost, exact or not, largest savings first.

        Nodes are no longer examined once `is_late` is true.
        """
        self._is_late = is_late
        bases = (base for base in self._nodes if not is_late() and self._is_base(base))
        found = [region for base in bases for region in self._from(base)]
        return sorted(found, key=lambda region: region.rank, reverse=True)

    def _is_base(self, node: fx.Node) -> bool:
        return self._execution.is_image(node) and node not in self._execution.frozen

    def _from(self, base: fx.Node) -> Iterator[Region]:
        shape = self._execution.shape(base)
        assert shape is not None
        # Dynamic programming over the graph: the map of a node follows from the maps of its inputs.
        values: dict[fx.Node, Result] = {base: affine.identity(shape[1])}
        macs_so_far = 0
        for node in self._downstream(base, values):
            check_time()
            if self._is_late():
                return
            value = self._propagated(node, values)
            if value is None:
                continue
            values[node] = value
            macs = self.macs(node)
            macs_so_far += macs
            region = self._region(base, node, value) if isinstance(value, AffineMap) else None
            # Composed kernels grow with every convolution; without a bound, deep linear networks would exhaust memory.
            if region and macs and region.macs_after > MAX_COST_RATIO * macs_so_far:
                del values[node]
            elif region and region.is_gain:
                yield region

    def _downstream(self, base: fx.Node, values: Mapping[fx.Node, Result]) -> Iterator[fx.Node]:
        """Yield users of the base and of propagated nodes in order of execution, until the base is changed in place.

        The caller adds a node to `values` between two steps if its map is known; only then are its users visited.
        """
        # After an in-place change, the base's tensor no longer holds the value from which the maps were derived.
        last = self._execution.changed_by.get(base)
        # The node that makes the change is still visited: it receives the unchanged value.
        end = len(self._nodes) if last is None else self._execution.order[last]
        waiting: list[int] = []  # heap of positions, so that all inputs of a node are visited before it
        node, seen = base, {base}
        while True:
            for user in node.users if node in values else ():
                if user not in seen and is_compute(user) and user not in self._execution.frozen:
                    seen.add(user)
                    heapq.heappush(waiting, self._execution.order[user])
            if not waiting or waiting[0] > end:
                return
            node = self._nodes[heapq.heappop(waiting)]
            yield node

    def _propagated(self, node: fx.Node, values: Mapping[fx.Node, Result]) -> Result:
        """Return the map from the base to a node, or None if the node is not an affine function of the base."""
        if not any(argument in values for argument in node.all_input_nodes):
            return None
        # Every other input must be a constant; a second image would make the result depend on two bases.
        if any(n not in values and n not in self._execution.constants for n in node.all_input_nodes):
            return None
        try:
            result = self._call(node, values)
        except Exception:  # noqa: BLE001  # arguments that the rule does not support
            return None
        return result if self._matches_shape(node, result) else None

    def _call(self, node: fx.Node, values: Mapping[fx.Node, Result]) -> Result:
        def look_up(argument: fx.Node) -> Any:
            return values[argument] if argument in values else self._execution.values[argument]

        args = fx.map_arg(node.args, look_up)
        kwargs = dict(fx.map_arg(node.kwargs, look_up))
        if node.op == "call_module":
            return self._module(node, *args, **kwargs)
        rule = rule_of(node.target)
        return None if rule is None else rule(*_positional(args, kwargs), **kwargs)

    def _module(self, node: fx.Node, value: Any) -> Result:
        if not isinstance(value, AffineMap):
            return None
        measured = self._probed.get(str(node.target))
        if measured is not None:
            return _after(value, measured)
        module = module_of(self._graph, node)
        return None if module is None else apply_module(module, value)

    def _matches_shape(self, node: fx.Node, result: Result) -> bool:
        """Return whether the number of channels of a map agrees with the recorded value of the node."""
        if isinstance(result, AffineMap):
            shape = self._execution.shape(node)
            # A rule that misunderstands a call yields another number of channels than the recorded run.
            return shape is not None and len(shape) == 4 and shape[1] == result.channels
        return isinstance(result, tuple)

    def _region(self, base: fx.Node, sink: fx.Node, value: AffineMap) -> Region:
        freed = self._freed(base, sink)
        form = convolution_form(value, self._groups(freed))
        shape = self._execution.shape(sink)
        assert shape is not None
        return Region(
            base=base,
            sink=sink,
            value=value,
            form=form,
            freed=freed,
            macs_before=sum(self.macs(node) for node in freed),
            # The convolution has as many outputs as the sink, also if a pixel shuffle follows.
            macs_after=shape[0] * shape[1] * shape[2] * shape[3] * form.macs_per_output,
            calls_before=sum(self.calls(node) for node in freed),
            # The convolution, and the pixel shuffle if there is one.
            calls_after=1 + (value.shuffle > 1),
        )

    def _freed(self, base: fx.Node, sink: fx.Node) -> frozenset[fx.Node]:
        """Return the nodes that have no users left after the sink is replaced, visiting users before their inputs."""
        order, freed = self._execution.order, {sink}
        # Visit nodes in reverse order of execution, so that all users of a node are decided before the node itself.
        waiting = [-order[node] for node in sink.all_input_nodes]
        heapq.heapify(waiting)
        while waiting:
            node = self._nodes[-heapq.heappop(waiting)]
            # Weights that only the region uses are freed as well, even if they were computed before the base.
            inside = order[node] > order[base] or node in self._execution.constants
            if node not in freed and inside and all(user in freed for user in node.users):
                freed.add(node)
                for used in node.all_input_nodes:
                    heapq.heappush(waiting, -order[used])
        return frozenset(freed)

    def _groups(self, freed: frozenset[fx.Node]) -> set[int]:
        groups: set[int] = set()
        for node in freed:
            module = module_of(self._graph, node)
            measured = self._probed.get(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, nn.Conv2d):
                groups.add(module.groups)
            elif measured is not None and module is not None:
                groups |= {part.groups for part in module.modules() if isinstance(part, nn.Conv2d)}
            elif _convolves(node):
                groups.add(self._call_groups(node))
        return {g for g in groups if g > 1}

    def _call_groups(self, node: fx.Node) -> int:
        image, weight = (self._execution.shape(argument) for argument in node.all_input_nodes[:2])
        # A weight has the input channels of one group.
        return image[1] // weight[1] if image and weight else 1

    def macs(self, node: fx.Node) -> int:
        """Return the multiply-accumulates of one node at the image size of the recorded run."""
        shape = self._execution.shape(node)
        if shape is None or len(shape) != 4:
            return 0
        module = module_of(self._graph, node)
        if isinstance(module, nn.Conv2d):
            return shape.numel() * module.weight[0].numel()
        if node.op == "call_module":
            return self._probed_macs.get(str(node.target), 0)
        if _convolves(node) and len(node.all_input_nodes) > 1:
            weight = self._execution.values[node.all_input_nodes[1]]
            return shape.numel() * weight[0].numel() if isinstance(weight, Tensor) else 0
        return 0

    def calls(self, node: fx.Node) -> int:
        """Return 1 if a node executes an operation with a cost, else 0.

        A convolution whose weight is merged in each forward pass counts twice: merging is at least one more operation.
        """
        if not is_compute(node):
            return 0
        if _convolves(node) and any(str(n.target) in self._merged for n in node.all_input_nodes if n.op == "get_attr"):
            return 2
        module = module_of(self._graph, node)
        if module is not None:
            return 0 if isinstance(module, ZERO_COST_MODULES) else 1
        return 0 if rule_of(node.target) in ZERO_COST else 1


def _convolves(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "") == "conv2d"


def _after(value: AffineMap, measured: AffineMap) -> AffineMap | None:
    """Compose a map with a measured convolution."""
    surrounded = affine.padded(value, measured.padding)
    if surrounded is None:
        return None
    # The padding has been applied explicitly, since that of a measured module may be asymmetric.
    bias = measured.bias if measured.biased else None
    result = affine.convolved(surrounded, measured.kernel, bias)
    if result is None or result.shuffle != 1:
        return None
    result = affine.shuffled(result, measured.shuffle)
    return result if measured.exact or result is None else affine.inexact(result)


ARGUMENT_NAMES: tuple[str, ...] = ("input", "self", "other", "split_size_or_sections")
"""Keyword names of leading arguments, which the rules expect by position."""


def _positional(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    named = [kwargs.pop(name) for name in ARGUMENT_NAMES if name in kwargs]
    return (*named, *args) if len(named) == 1 and not args else (*args, *named)
