"""Affine regions of a traced network: where they are, which convolution each equals, and what that saves.

From every image in the graph (the *base*) the identity map is carried forward through operations that keep it
affine. Each node so reached (a *sink*) is one convolution of the base. Replacing the sink frees the nodes between
that nothing else uses; the region is worth collapsing where that lowers the multiply-accumulates, or leaves them
and lowers the number of calls.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from harness.reparam import affine
from harness.reparam.affine import AffineMap
from harness.reparam.facts import Facts
from harness.reparam.realize import ConvolutionForm, convolution_form
from harness.reparam.trace import is_compute, module_of
from harness.reparam.vocabulary import FREE, FREE_MODULES, Result, apply_module, rule_of

EXPANSION = 16
"""A map whose convolution would cost this many times what it replaces so far is not carried further."""

ProbedMaps = Mapping[str, AffineMap]
"""Maps of the modules that were measured, by path."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the graph that equals one convolution.

    Attributes
    ----------
    base, sink
        The image that the region starts from, and the node that is replaced.
    value
        The map from base to sink.
    form
        The convolution that the map becomes.
    freed
        The nodes that are gone when the sink is replaced, the sink included.
    macs_before, macs_after
        Multiply-accumulates at the size of the recorded run.
    calls_before, calls_after
        Operations that run.
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
        """Multiply-accumulates and calls that the collapse saves."""
        return self.macs_before - self.macs_after, self.calls_before - self.calls_after

    @property
    def is_gain(self) -> bool:
        """Whether the collapse lowers the cost."""
        return self.saves > (0, 0) and self.saves[0] >= 0

    @property
    def rank(self) -> tuple[int, ...]:
        """Sort key: the saving, then no pixel shuffle to take along, then more of the graph."""
        return (*self.saves, -self.value.shuffle, len(self.freed))

    @property
    def place(self) -> str:
        """Path of the innermost module that the region ends in, or of a module that it holds."""
        paths = [module_path(node) for node in (self.sink, *sorted(self.freed, key=lambda node: node.name))]
        return next((path for path in paths if path), self.sink.name)

    def __str__(self) -> str:
        out_channels, in_channels, height, width = self.form.weight.shape
        size = f"{height}x{width} {in_channels * self.form.groups}-{out_channels}"
        return f"{self.calls_before} calls up to {self.place} into one convolution {size}"


def module_path(node: fx.Node) -> str:
    """Give the path of the innermost module that a node belongs to; empty for the network's own forward."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    return next((path for path, _ in reversed(stack.values()) if path), "")


class RegionFinder:
    """Find the regions of one traced network.

    Parameters
    ----------
    graph
        The network.
    facts
        What a run of it showed.
    probed
        Maps of modules that the trace could not see through.
    probed_macs
        Multiply-accumulates of those modules at the recorded size.
    """

    def __init__(self, graph: fx.GraphModule, facts: Facts, probed: ProbedMaps, probed_macs: Mapping[str, int]) -> None:
        self._graph = graph
        self._facts = facts
        self._probed = probed
        self._probed_macs = probed_macs
        self._nodes = list(graph.graph.nodes)

    def regions(self) -> list[Region]:
        """Give every region whose collapse would be a gain, exact or not, the greatest gain first."""
        found = [region for base in self._nodes if self._is_base(base) for region in self._from(base)]
        return sorted(found, key=lambda region: region.rank, reverse=True)

    def _is_base(self, node: fx.Node) -> bool:
        return self._facts.is_image(node) and node not in self._facts.frozen

    def _from(self, base: fx.Node) -> Iterator[Region]:
        shape = self._facts.shape(base)
        assert shape is not None
        values: dict[fx.Node, Result] = {base: affine.identity(shape[1])}
        spent = 0
        for node in self._downstream(base, values):
            value = self._carried(node, values)
            if value is None:
                continue
            values[node] = value
            macs = self.macs(node)
            spent += macs
            region = self._region(base, node, value) if isinstance(value, AffineMap) else None
            if region and macs and region.macs_after > EXPANSION * spent:
                del values[node]
            elif region and region.is_gain:
                yield region

    def _downstream(self, base: fx.Node, values: Mapping[fx.Node, Result]) -> Iterator[fx.Node]:
        """Give the users of the base and of what was carried, in order, until the base is changed in place."""
        last = self._facts.changed_by.get(base)
        end = len(self._nodes) if last is None else self._facts.order[last]
        waiting: list[int] = []
        node, seen = base, {base}
        while True:
            for user in node.users if node in values else ():
                if user not in seen and is_compute(user) and user not in self._facts.frozen:
                    seen.add(user)
                    heapq.heappush(waiting, self._facts.order[user])
            if not waiting or waiting[0] > end:
                return
            node = self._nodes[heapq.heappop(waiting)]
            yield node

    def _carried(self, node: fx.Node, values: Mapping[fx.Node, Result]) -> Result:
        """Give the map of a node, or None where it is not affine in the base."""
        if not any(argument in values for argument in node.all_input_nodes):
            return None
        if any(n not in values and n not in self._facts.constants for n in node.all_input_nodes):
            return None
        try:
            result = self._call(node, values)
        except Exception:  # noqa: BLE001  # a call that its rule does not know is not affine
            return None
        return result if self._fits(node, result) else None

    def _call(self, node: fx.Node, values: Mapping[fx.Node, Result]) -> Result:
        def look_up(argument: fx.Node) -> Any:
            return values[argument] if argument in values else self._facts.values[argument]

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

    def _fits(self, node: fx.Node, result: Result) -> bool:
        """Check the channels that a map claims against those that the run showed."""
        if isinstance(result, AffineMap):
            shape = self._facts.shape(node)
            return shape is not None and len(shape) == 4 and shape[1] == result.channels
        return isinstance(result, tuple)

    def _region(self, base: fx.Node, sink: fx.Node, value: AffineMap) -> Region:
        freed = self._freed(base, sink)
        form = convolution_form(value, self._groups(freed))
        shape = self._facts.shape(sink)
        assert shape is not None
        return Region(
            base=base,
            sink=sink,
            value=value,
            form=form,
            freed=freed,
            macs_before=sum(self.macs(node) for node in freed),
            macs_after=shape[0] * shape[1] * shape[2] * shape[3] * form.macs_per_output,
            calls_before=sum(self.calls(node) for node in freed),
            calls_after=1 + (value.shuffle > 1),
        )

    def _freed(self, base: fx.Node, sink: fx.Node) -> frozenset[fx.Node]:
        """Give the nodes that nothing uses any more once the sink is replaced."""
        order, freed = self._facts.order, {sink}
        waiting = [-order[node] for node in sink.all_input_nodes]
        heapq.heapify(waiting)
        while waiting:
            node = self._nodes[-heapq.heappop(waiting)]
            inside = order[node] > order[base] or node in self._facts.constants
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
        image, weight = (self._facts.shape(argument) for argument in node.all_input_nodes[:2])
        return image[1] // weight[1] if image and weight else 1

    def macs(self, node: fx.Node) -> int:
        """Multiply-accumulates of one node at the recorded size."""
        shape = self._facts.shape(node)
        if shape is None or len(shape) != 4:
            return 0
        module = module_of(self._graph, node)
        if isinstance(module, nn.Conv2d):
            return shape.numel() * module.weight[0].numel()
        if node.op == "call_module":
            return self._probed_macs.get(str(node.target), 0)
        if _convolves(node) and len(node.all_input_nodes) > 1:
            weight = self._facts.values[node.all_input_nodes[1]]
            return shape.numel() * weight[0].numel() if isinstance(weight, Tensor) else 0
        return 0

    def calls(self, node: fx.Node) -> int:
        """Count a node as an operation, or not where it costs nothing."""
        if not is_compute(node):
            return 0
        module = module_of(self._graph, node)
        if module is not None:
            return 0 if isinstance(module, FREE_MODULES) else 1
        return 0 if rule_of(node.target) in FREE else 1


def _convolves(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "") == "conv2d"


def _after(value: AffineMap, measured: AffineMap) -> AffineMap | None:
    """Put a measured convolution after a map."""
    surrounded = affine.padded(value, measured.padding)
    if surrounded is None:
        return None
    bias = measured.bias if measured.biased else None
    result = affine.convolved(surrounded, measured.kernel, bias)
    if result is None or result.shuffle != 1:
        return None
    result = affine.shuffled(result, measured.shuffle)
    return result if measured.exact or result is None else affine.inexact(result)


ARGUMENT_NAMES: tuple[str, ...] = ("input", "self", "other", "split_size_or_sections")
"""Keyword names of leading arguments, which the rules take by position."""


def _positional(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    named = [kwargs.pop(name) for name in ARGUMENT_NAMES if name in kwargs]
    return (*named, *args) if len(named) == 1 and not args else (*args, *named)
