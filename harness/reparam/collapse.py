"""Automatic collapse: replace the affine regions of any network by one convolution each.

A network is traced; each region whose collapse is a gain and whose border is exact is proved equal on its own and
replaced. Where the network's own forward cannot be traced, its submodules are collapsed one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from harness.reparam.affine import AffineMap
from harness.reparam.audit import audit
from harness.reparam.facts import Facts, rename_in_place
from harness.reparam.probe import probe
from harness.reparam.regionproof import region_error
from harness.reparam.regions import Region, RegionFinder
from harness.reparam.trace import Untraceable, is_compute, module_of, trace

ROUNDS = 6
"""Passes over the graph: a collapsed region may be part of another."""

REFUSALS = 8
"""Refused regions that are named."""

Choice = Callable[[str], bool]
"""Whether the region whose sink has this name may be collapsed."""


@dataclass(slots=True)
class Collapse:
    """What automatic collapse made of a network.

    Attributes
    ----------
    network
        The collapsed copy in the network's precision, or None where nothing was collapsed.
    exact
        The same in float64, before its kernels were rounded.
    folded, refused
        In words: what was replaced, and what was left alone and why.
    sinks
        Names of the replaced nodes.
    """

    network: nn.Module | None = None
    exact: nn.Module | None = None
    folded: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sinks: list[str] = field(default_factory=list)


def collapse(
    network: nn.Module,
    image: Tensor,
    *,
    allow_border_error: bool = False,
    choice: Choice = lambda _: True,
) -> Collapse:
    """Collapse every region of a network whose collapse is exact and a gain.

    Parameters
    ----------
    network
        In eval mode on the CPU; it is not changed.
    image
        A photograph of a size that the network takes, shape (1, 3, H, W), in the network's value range and dtype.
    allow_border_error
        Also collapse what is equal in the interior only.
    choice
        Which regions may be collapsed, by the name of their last node.
    """
    dtypes = {p.dtype for p in network.parameters() if p.is_floating_point()} or {torch.float32}
    if len(dtypes) > 1:
        return Collapse(refused=["a network of mixed precision is not collapsed"])
    rules = Rules(dtypes.pop(), allow_border_error, choice)
    try:
        done = _collapse_double(_settled(network, image), image.double(), rules)
    except Exception as error:  # noqa: BLE001  # foreign code raises anything; the network is then left as it is
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Collapse(refused=[f"everything, since the network does not run in float64 ({reason})"])
    if done.exact is not None:
        done.network = copy.deepcopy(done.exact).to(rules.dtype)
    return done


@dataclass(frozen=True, slots=True)
class Rules:
    """The precision that is timed, whether borders may differ, and which regions may be collapsed."""

    dtype: torch.dtype
    allow_border_error: bool
    choice: Choice


@torch.no_grad()
def _settled(network: nn.Module, image: Tensor) -> nn.Module:
    """Give a float64 copy that has run once: some training forms renew their merged weights in each forward."""
    work = copy.deepcopy(network).double()
    work(image.double())
    return work


def _collapse_double(network: nn.Module, image: Tensor, rules: Rules) -> Collapse:
    """Collapse a network in float64; only :attr:`Collapse.exact` is given."""
    try:
        graph = trace(network)
    except Untraceable:
        return _collapse_children(network, image, rules)
    return _Collapser(graph, image, rules).run()


class _Collapser:
    """The rounds of one traced network, in float64."""

    def __init__(self, graph: fx.GraphModule, image: Tensor, rules: Rules) -> None:
        self._graph = graph
        self._image = image
        self._rules = rules
        self._outcome = Collapse()
        self._probed: dict[str, AffineMap] = {}
        self._macs: dict[str, int] = {}
        self._opaque: set[str] = set()
        self._added: list[str] = []

    def run(self) -> Collapse:
        """Collapse until no region is left."""
        for _ in range(ROUNDS):
            facts = self._observe()
            regions = RegionFinder(self._graph, facts, self._probed, self._macs).regions()
            if not self._round(facts, regions):
                break
        self._drop_renewals(facts)
        self._refuse(facts, [region for region in regions if not region.value.exact])
        self._look_into_opaque(facts)
        return self._outcome

    def _observe(self) -> Facts:
        facts = Facts(self._graph, self._image)
        rename_in_place(self._graph, facts)
        for node in self._graph.graph.nodes:
            self._measure(node, facts)
        return facts

    def _measure(self, node: fx.Node, facts: Facts) -> None:
        """Probe a module that the trace could not see through."""
        path = str(node.target)
        module = module_of(self._graph, node)
        if module is None or path in self._opaque | self._probed.keys() or _is_of_torch(module):
            return
        value = self._only_image(node, facts)
        measured = None if value is None else probe(module, value.shape[1])
        if measured is None or value is None:
            self._opaque.add(path)
        else:
            self._probed[path] = measured
            self._macs[path] = audit(copy.deepcopy(module), value).macs

    def _only_image(self, node: fx.Node, facts: Facts) -> Tensor | None:
        single = len(node.args) == 1 and not node.kwargs and isinstance(node.args[0], fx.Node)
        if not single or not facts.is_image(node) or not facts.is_image(node.all_input_nodes[0]):
            return None
        value = facts.values[node.all_input_nodes[0]]
        return value if isinstance(value, Tensor) else None

    def _round(self, facts: Facts, regions: list[Region]) -> bool:
        """Replace what can be replaced side by side; say whether anything was."""
        gone: set[fx.Node] = set()
        bases: set[fx.Node] = set()
        new: dict[fx.Node, fx.Node] = {}
        for found in regions:
            overlaps = found.freed & gone or (found.freed - {found.sink}) & bases
            if overlaps or (found.base in gone and found.base not in new):
                continue  # the next round sees it as it is by then
            region = replace(found, base=new.get(found.base, found.base))
            if self._is_allowed(region) and self._is_proved(facts, region):
                gone |= region.freed
                bases.add(found.base)
                new[region.sink] = self._replace(region)
                facts.values[new[region.sink]] = facts.values[region.sink]
        for node in sorted(gone, key=lambda node: facts.order[node], reverse=True):
            self._graph.graph.erase_node(node)
        self._graph.delete_all_unused_submodules()
        self._graph.recompile()
        return bool(gone)

    def _is_allowed(self, region: Region) -> bool:
        exact = region.value.exact or self._rules.allow_border_error
        return exact and self._rules.choice(region.sink.name)

    def _is_proved(self, facts: Facts, region: Region) -> bool:
        error = region_error(self._graph, facts, region, self._rules.dtype)
        if error.is_proof(allow_border_error=self._rules.allow_border_error):
            return True
        self._outcome.refused.append(
            f"{region}: not equal (float64 {max(error.interior, error.border):.2g}, {error.single:.2g})"
        )
        return False

    def _replace(self, region: Region) -> fx.Node:
        name = self._convolution(region)
        with self._graph.graph.inserting_before(region.sink):
            node = self._graph.graph.call_module(name, (region.base,))
            node.meta["nn_module_stack"] = region.sink.meta.get("nn_module_stack")
            if region.value.shuffle > 1:
                node = self._graph.graph.call_function(functional.pixel_shuffle, (node, region.value.shuffle))
        region.sink.replace_all_uses_with(node)
        self._outcome.folded.append(str(region))
        self._outcome.sinks.append(region.sink.name)
        self._outcome.exact = self._graph
        return node

    def _convolution(self, region: Region) -> str:
        """Add the convolution of a region, or find it where a module called twice has given it already."""
        module = region.form.module(torch.float64, torch.device("cpu"))
        for name in self._added:
            if _is_equal(self._graph.get_submodule(name), module):
                return name
        name = _free_name(self._graph, region)
        self._graph.add_submodule(name, module)
        self._added.append(name)
        return name

    def _drop_renewals(self, facts: Facts) -> None:
        """Remove what is computed from weights alone and not used: merged weights that each forward renews."""
        dropped = 0
        for node in reversed(self._graph.graph.nodes):
            if node in facts.constants and not node.users:
                dropped += is_compute(node)
                self._graph.graph.erase_node(node)
        if dropped:
            self._graph.delete_all_unused_submodules()
            self._graph.recompile()
            self._outcome.folded.append(f"{dropped} calls that renew merged weights in each forward")
            self._outcome.exact = self._graph

    def _refuse(self, facts: Facts, regions: list[Region]) -> None:
        """Name the regions that differ at the border, with the error that collapsing them would bring."""
        named: set[fx.Node] = set()
        for region in regions:
            if len(self._outcome.refused) == REFUSALS or region.freed & named:
                continue
            named |= region.freed
            error = region_error(self._graph, facts, region, self._rules.dtype)
            self._outcome.refused.append(
                f"{region}: differs at the border by {error.border:.2g} (interior {error.interior:.2g})"
            )

    def _look_into_opaque(self, facts: Facts) -> None:
        """Collapse within the modules that are neither traceable nor affine."""
        for node in self._graph.graph.nodes:
            value = self._only_image(node, facts) if str(node.target) in self._opaque else None
            module = module_of(self._graph, node)
            if value is None or module is None:
                continue
            inner = _collapse_children(module, value, self._rules)
            self._outcome.folded += inner.folded
            self._outcome.refused += inner.refused
            if inner.exact is not None:
                _put(self._graph, str(node.target), inner.exact)
                self._outcome.exact = self._graph


def _put(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)


def _is_equal(one: nn.Module, two: nn.Module) -> bool:
    """Whether two convolutions are the same in their settings and in every number."""
    if repr(one) != repr(two):
        return False
    return all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))


def _is_of_torch(module: nn.Module) -> bool:
    """Whether a module is a single layer of torch that does what its class says."""
    hooked = bool(module._forward_hooks or module._forward_pre_hooks)
    return type(module).__module__.startswith("torch.") and not hooked and not any(module.children())


def _free_name(graph: fx.GraphModule, region: Region) -> str:
    """Name the new convolution after the place of what it replaces."""
    stem = region.place.replace(".", "_").strip("_")
    stem = stem if stem.isidentifier() else f"conv_{stem}"
    taken = {name.split(".")[0] for name, _ in graph.named_modules()} | set(dir(graph))
    return next(name for name in _numbered(stem) if name not in taken)


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1


def _collapse_children(network: nn.Module, image: Tensor, rules: Rules) -> Collapse:
    """Collapse the submodules of a network whose own forward cannot be traced."""
    total = Collapse()
    work = copy.deepcopy(network)
    for path, value in _inputs_of_children(work, image).items():
        module = work.get_submodule(path)
        part = Collapse() if _is_of_torch(module) else _collapse_double(nn.Sequential(module), value, rules)
        total.folded += [f"{path}: {text}" for text in part.folded]
        total.refused += [f"{path}: {text}" for text in part.refused]
        total.sinks += part.sinks
        if part.exact is not None:
            _put(work, path, part.exact)
            total.exact = work
    return total


@torch.no_grad()
def _inputs_of_children(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Run a network and note what each of its outermost called submodules was given, where that is one image."""
    seen: dict[str, Tensor] = {}
    running: list[str] = []

    def enter(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            alone = len(args) == 1 and not kwargs and isinstance(args[0], Tensor) and args[0].dim() == 4
            if alone and not running:
                seen.setdefault(path, args[0].clone())  # type: ignore[attr-defined]
            running.append(path)

        return hook

    def leave(*_: object) -> None:
        running.pop()

    handles = []
    for path, module in list(network.named_modules())[1:]:
        handles.append(module.register_forward_pre_hook(enter(path), with_kwargs=True))
        handles.append(module.register_forward_hook(leave))
    try:
        network(image.clone())
    finally:
        for handle in handles:
            handle.remove()
    return seen
