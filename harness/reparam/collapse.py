"""Replace each affine region of a network by one convolution.

The network is traced with ``torch.fx``. Each region whose replacement lowers the cost and is exact at the border is
verified numerically and replaced. If the network's own forward cannot be traced, its submodules are collapsed
separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from harness.complexity.copying import copied
from harness.reparam.affine import AffineMap
from harness.reparam.audit import audit
from harness.reparam.double import float64_arithmetic, run_in_float64
from harness.reparam.execution import Execution, rename_in_place
from harness.reparam.probe import probe, size_dependence
from harness.reparam.regionproof import region_error
from harness.reparam.regions import Region, RegionFinder
from harness.reparam.search import Choice, Clock, CollapseOptions
from harness.reparam.sizes import Size, scaled
from harness.reparam.time_limit import OutOfTimeError, check_time
from harness.reparam.trace import Untraceable, delete_unused, is_compute, module_of, trace
from harness.results.schema import CUT_SHORT

MAX_PASSES = 6
"""Maximum number of passes over the graph; several are needed because a collapsed region may be part of another."""

MAX_REPORTED = 8
"""Maximum number of regions that are reported as not collapsed."""


@dataclass(slots=True)
class Collapse:
    """Result of an automatic collapse.

    Attributes
    ----------
    network
        The collapsed copy in the precision of the network, or None if nothing was collapsed.
    exact
        The collapsed copy in float64, before its kernels are rounded.
    folded, refused
        Descriptions of the regions that were replaced, and of those that were not, with the reason.
    sinks
        Names of the last nodes of the replaced regions.
    measured
        Whether modules that cannot be traced were measured.
    """

    network: nn.Module | None = None
    exact: nn.Module | None = None
    folded: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sinks: list[str] = field(default_factory=list)
    measured: bool = False


def collapse(
    network: nn.Module,
    image: Tensor,
    *,
    allow_border_error: bool = False,
    choice: Choice = lambda _: True,
    clock: Clock | None = None,
    sizes: Sequence[Size] = (),
) -> Collapse:
    """Collapse every region of a network for which this is exact and lowers the cost.

    Parameters
    ----------
    network
        Network in eval mode on the CPU; it is not changed.
    image
        Photograph of a size that the network accepts, shape (1, 3, H, W), in the network's value range and dtype.
    allow_border_error
        Also collapse regions that are equal only in the interior of the image.
    choice
        Predicate on the name of a region's last node: whether the region may be collapsed.
    clock
        Ends the search for regions; None for no limit.
    sizes
        Heights and widths of the images for which the network is used.

    Returns
    -------
    Collapse
        Exceptions of the network's code are reported in ``refused`` and not raised.
    """
    # A collapsed region has one dtype; which one is not defined if its layers had several.
    dtypes = {p.dtype for p in network.parameters() if p.is_floating_point()} or {torch.float32}
    if len(dtypes) > 1:
        return Collapse(refused=["everything, because the parameters have several dtypes"])
    options = CollapseOptions(dtypes.pop(), allow_border_error, choice, clock or Clock(), tuple(sizes))
    try:
        done = _collapse_double(_float64_copy(network, image), image.double(), options)
    except OutOfTimeError as error:
        return Collapse(refused=[f"everything, because {error}"])
    except Exception as error:  # noqa: BLE001  # submitted code may raise anything; the network is then not changed
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Collapse(refused=[f"everything, because the network does not run in float64 ({reason})"])
    # All kernels are composed in float64 and rounded once here, so that errors do not accumulate over regions.
    if options.is_late:
        done.refused.append(f"what was not found within {options.clock.limit_s:g} s, {CUT_SHORT}")
    if done.exact is not None:
        done.network = copied(done.exact).to(options.dtype)
    return done


@torch.no_grad()
def _float64_copy(network: nn.Module, image: Tensor) -> nn.Module:
    """Return a float64 copy after one forward pass, in which some training forms update their merged weights."""
    work = copied(network).double()
    run_in_float64(work, image.double())
    return work


def _collapse_double(network: nn.Module, image: Tensor, options: CollapseOptions) -> Collapse:
    """Collapse a network in float64 and set :attr:`Collapse.exact`, but not :attr:`Collapse.network`."""
    try:
        with float64_arithmetic():
            graph = trace(network)
        if Execution(graph, image).changes_constants:  # such as a kernel in whose centre another one is added
            with float64_arithmetic():
                graph = trace(network, executes_weights=True)
    except Untraceable:
        return _collapse_children(network, image, options)
    return _Collapser(graph, image, options).run()


class _Collapser:
    """Collapse one traced network in float64, pass by pass."""

    def __init__(self, graph: fx.GraphModule, image: Tensor, options: CollapseOptions) -> None:
        self._graph = graph
        self._image = image
        self._options = options
        self._outcome = Collapse()
        self._probed: dict[str, AffineMap] = {}
        self._macs: dict[str, int] = {}
        self._opaque: set[str] = set()
        self._added: list[str] = []

    def run(self) -> Collapse:
        """Collapse until a pass replaces nothing, at most :data:`MAX_PASSES` times."""
        for _ in range(MAX_PASSES):
            # Replaced nodes invalidate the recorded values and aliases, so each pass runs the graph again.
            execution = self._observe()
            finder = RegionFinder(self._graph, execution, self._probed, self._macs)
            regions = finder.regions(lambda: self._options.is_late)
            if not self._replace_regions(execution, regions) or self._options.is_late:
                break
        self._drop_unused_constants(execution)
        self._report_inexact(execution, [region for region in regions if not region.value.exact])
        self._collapse_inside_opaque(execution)
        return self._outcome

    def _observe(self) -> Execution:
        execution = Execution(self._graph, self._image)
        rename_in_place(self._graph, execution)
        for node in self._graph.graph.nodes:
            self._probe_module(node, execution)
        return execution

    def _probe_module(self, node: fx.Node, execution: Execution) -> None:
        """Measure the convolution of a module that the tracer could not enter."""
        check_time()
        path = str(node.target)
        module = module_of(self._graph, node)
        if module is None or path in self._opaque | self._probed.keys() or _is_of_torch(module):
            return
        value = self._single_image_input(node, execution)
        # Probing is expensive; results are kept over the passes because leaves of the trace do not change.
        measured = None if value is None or self._options.is_late else self._measured(path, module, value)
        if measured is None or value is None:
            self._opaque.add(path)
        else:
            self._probed[path] = measured
            self._outcome.measured = True
            with float64_arithmetic():
                self._macs[path] = audit(copied(module), value).macs

    def _measured(self, path: str, module: nn.Module, value: Tensor) -> AffineMap | None:
        """Measure a module; None if it is no convolution, or may be another one at the sizes at which it is used."""
        channels, sizes = value.shape[1], scaled(self._options.sizes, self._image, value)
        measured = probe(module, channels)
        reason = "" if measured is None else size_dependence(module, channels, measured, sizes)
        if reason:
            self._outcome.refused.append(f"{path}: {reason}")
        return None if reason else measured

    def _single_image_input(self, node: fx.Node, execution: Execution) -> Tensor | None:
        single = len(node.args) == 1 and not node.kwargs and isinstance(node.args[0], fx.Node)
        if not single or not execution.is_image(node) or not execution.is_image(node.all_input_nodes[0]):
            return None
        value = execution.values[node.all_input_nodes[0]]
        return value if isinstance(value, Tensor) else None

    def _replace_regions(self, execution: Execution, regions: list[Region]) -> bool:
        """Replace all regions that do not overlap, best first; return whether any was replaced."""
        erased: set[fx.Node] = set()
        bases: set[fx.Node] = set()
        new: dict[fx.Node, fx.Node] = {}
        for found in regions:
            check_time()
            if self._options.is_late:
                break
            # A region may neither contain an erased node nor erase the base of an already replaced region.
            overlaps = found.freed & erased or (found.freed - {found.sink}) & bases
            if overlaps or (found.base in erased and found.base not in new):
                continue  # the next pass considers it on the updated graph
            # The base may be the sink of a region that was replaced in this pass; continue from its convolution then.
            region = replace(found, base=new.get(found.base, found.base))
            if self._is_allowed(region) and self._is_proved(execution, region):
                erased |= region.freed
                bases.add(found.base)
                new[region.sink] = self._replace(region)
                # A later region of this pass may begin at the replacement.
                execution.values[new[region.sink]] = execution.values[region.sink]
        # Erase users before the nodes that they use, as fx requires.
        for node in sorted(erased, key=lambda node: execution.order[node], reverse=True):
            self._graph.graph.erase_node(node)
        delete_unused(self._graph)
        self._graph.recompile()
        return bool(erased)

    def _is_allowed(self, region: Region) -> bool:
        exact = region.value.exact or self._options.allow_border_error
        return exact and self._options.choice(region.sink.name)

    def _is_proved(self, execution: Execution, region: Region) -> bool:
        error = region_error(self._graph, execution, region, self._options.dtype)
        if error.is_proof(allow_border_error=self._options.allow_border_error):
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
        """Add the convolution of a region and return its name; reuse an equal one if a module is called twice."""
        module = region.form.module(torch.float64, torch.device("cpu"))
        for name in self._added:
            if _is_equal(self._graph.get_submodule(name), module):
                return name
        name = _free_name(self._graph, region)
        self._graph.add_submodule(name, module)
        self._added.append(name)
        return name

    def _drop_unused_constants(self, execution: Execution) -> None:
        """Remove unused values that depend on weights only, such as merged weights recomputed in each forward pass."""
        dropped = 0
        for node in reversed(self._graph.graph.nodes):  # users first, so that chains of unused values are removed
            if node in execution.constants and not node.users:
                dropped += is_compute(node)
                self._graph.graph.erase_node(node)
        if dropped:
            delete_unused(self._graph)
            self._graph.recompile()
            self._outcome.folded.append(f"{dropped} calls that recompute merged weights in each forward pass")
            self._outcome.exact = self._graph

    def _report_inexact(self, execution: Execution, regions: list[Region]) -> None:
        """Report regions that would differ at the border, with the error that collapsing them would cause."""
        reported: set[fx.Node] = set()
        for region in regions:
            if self._options.is_late:
                return
            if len(self._outcome.refused) == MAX_REPORTED or region.freed & reported:
                continue
            check_time()
            reported |= region.freed
            error = region_error(self._graph, execution, region, self._options.dtype)
            self._outcome.refused.append(
                f"{region}: differs at the border by {error.border:.2g} (interior {error.interior:.2g})"
            )

    def _collapse_inside_opaque(self, execution: Execution) -> None:
        """Collapse regions inside modules that are neither traceable nor affine."""
        for node in self._graph.graph.nodes:
            if self._options.is_late:
                return
            value = self._single_image_input(node, execution) if str(node.target) in self._opaque else None
            module = module_of(self._graph, node)
            if value is None or module is None:
                continue
            inner = _collapse_children(module, value, self._options.of_part(self._image, value))
            self._outcome.folded += inner.folded
            self._outcome.refused += inner.refused
            self._outcome.measured |= inner.measured
            if inner.exact is not None:
                _set_submodule(self._graph, str(node.target), inner.exact)
                self._outcome.exact = self._graph


def _set_submodule(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)


def _is_equal(one: nn.Module, two: nn.Module) -> bool:
    """Return whether two convolutions have equal settings and bitwise equal parameters."""
    if repr(one) != repr(two):
        return False
    return all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))


def _is_of_torch(module: nn.Module) -> bool:
    """Return whether a module is a single layer from ``torch`` without hooks that could change its result."""
    hooked = bool(module._forward_hooks or module._forward_pre_hooks)
    return type(module).__module__.startswith("torch.") and not hooked and not any(module.children())


def _free_name(graph: fx.GraphModule, region: Region) -> str:
    """Return an unused attribute name for the new convolution, derived from the path of the replaced modules."""
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


def _collapse_children(network: nn.Module, image: Tensor, options: CollapseOptions) -> Collapse:
    """Collapse the submodules of a network whose own forward cannot be traced."""
    total = Collapse()
    work = copied(network)
    for path, value in _inputs_of_children(work, image).items():
        if options.is_late:
            break
        module = work.get_submodule(path)
        inner = options.of_part(image, value)
        part = Collapse() if _is_of_torch(module) else _collapse_double(nn.Sequential(module), value, inner)
        total.folded += [f"{path}: {text}" for text in part.folded]
        total.refused += [f"{path}: {text}" for text in part.refused]
        total.sinks += part.sinks
        total.measured |= part.measured
        if part.exact is not None:
            _set_submodule(work, path, part.exact)
            total.exact = work
    return total


@torch.no_grad()
def _inputs_of_children(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Run a network and return the inputs of its outermost called submodules that take exactly one image, by path."""
    seen: dict[str, Tensor] = {}
    running: list[str] = []  # stack of active calls; only those on an empty stack are outermost

    def enter(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            alone = len(args) == 1 and not kwargs and isinstance(args[0], Tensor) and args[0].dim() == 4
            if alone and not running:
                # Clone, because the module or a later one may change its input in place.
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
        run_in_float64(network, image.clone())
    finally:
        for handle in handles:
            handle.remove()
    return seen
