"""Proof of one region: the nodes as they were against the convolution that replaces them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from harness.reparam.facts import Facts
from harness.reparam.regions import Region

DOUBLE_TOLERANCE = 1e-11
"""Largest error of a collapsed region in float64, relative to its largest value where that is above 1."""

SINGLE_TOLERANCE = 1e-5
"""Largest error of a collapsed region in the network's precision, measured alike."""


@dataclass(frozen=True, slots=True)
class RegionError:
    """Largest differences of a region and its convolution, relative to the largest value where that is above 1.

    Attributes
    ----------
    interior, border
        In float64: where the kernel lies within the image, and all around.
    single
        In the precision that is timed, against the region in float64.
    """

    interior: float
    border: float
    single: float

    def is_proof(self, *, allow_border_error: bool = False) -> bool:
        """Whether both forms are equal to within rounding."""
        if allow_border_error:
            return self.interior <= DOUBLE_TOLERANCE
        return max(self.interior, self.border) <= DOUBLE_TOLERANCE and self.single <= SINGLE_TOLERANCE


class Replacement(nn.Module):
    """The convolution of a region and the pixel shuffle that may follow it."""

    def __init__(self, region: Region, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = region.form.module(dtype, torch.device("cpu"))
        self.shuffle = nn.PixelShuffle(region.value.shuffle)

    def forward(self, image: Tensor) -> Tensor:
        """Run both on N x C x H x W."""
        result: Tensor = self.shuffle(self.conv(image))
        return result


@torch.no_grad()
def region_error(
    graph: fx.GraphModule, facts: Facts, region: Region, dtype: torch.dtype = torch.float32
) -> RegionError:
    """Compare a region with its convolution on noise and on what the network feeds it.

    Parameters
    ----------
    graph
        The traced network, in float64.
    facts
        A run of it on a photograph.
    region
        Not yet replaced.
    dtype
        The precision that is timed.
    """
    before = _extracted(graph, region)
    double, single = Replacement(region, torch.float64), Replacement(region, dtype)
    interior = border = rounding = 0.0
    reach = max(region.form.weight.shape[2:]) * max(region.form.dilation)
    for image in _inputs(facts.values[region.base], reach):
        expected = before(image.clone())
        scale = max(1.0, expected.abs().max().item())
        gap = (double(image) - expected).abs() / scale
        width = reach * region.value.shuffle
        inner = gap[..., width:-width, width:-width]
        interior = max(interior, inner.max().item() if inner.numel() else 0.0)
        border = max(border, gap.max().item())
        rounding = max(rounding, (single(image.to(dtype)).double() - expected).abs().max().item() / scale)
    return RegionError(interior, border, rounding)


def _inputs(natural: Tensor, reach: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    yield natural
    for height, width in ((2 * reach + 3, 2 * reach + 6), (7, 10)):
        yield torch.randn(1, natural.shape[1], height, width, generator=generator, dtype=natural.dtype)


def _extracted(graph: fx.GraphModule, region: Region) -> fx.GraphModule:
    """Copy the nodes between base and sink into a graph of their own; modules are shared."""
    part = fx.Graph()
    copies = {region.base: part.placeholder("image")}
    for node in _between(region):
        copies[node] = part.node_copy(node, lambda argument: copies[argument])
    part.output(copies[region.sink])
    return copy.deepcopy(fx.GraphModule(graph, part))


def _between(region: Region) -> list[fx.Node]:
    """Give the nodes that the sink needs, back to the base, in order of execution."""
    needed: set[fx.Node] = set()
    waiting = [region.sink]
    while waiting:
        node = waiting.pop()
        if node is not region.base and node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return [node for node in region.base.graph.nodes if node in needed]
