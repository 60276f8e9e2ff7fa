"""Verify one region: compare its nodes with the convolution that replaces them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from harness.reparam.double import run_in_float64
from harness.reparam.execution import Execution
from harness.reparam.regions import Region

DOUBLE_TOLERANCE = 1e-11
"""Largest error of a collapsed region in float64, relative to the larger of 1 and its largest absolute value."""

SINGLE_TOLERANCE = 1e-5
"""Largest error of a collapsed region in the timed precision, normalized in the same way."""


@dataclass(frozen=True, slots=True)
class RegionError:
    """Largest differences between a region and its convolution, relative to the larger of 1 and the largest output.

    Attributes
    ----------
    interior, border
        In float64, over the pixels whose kernel lies within the image, and over all pixels.
    single
        Difference of the convolution in the timed precision from the region in float64.
    """

    interior: float
    border: float
    single: float

    def is_proof(self, *, allow_border_error: bool = False) -> bool:
        """Return whether both forms are equal up to rounding errors."""
        if allow_border_error:
            return self.interior <= DOUBLE_TOLERANCE
        return max(self.interior, self.border) <= DOUBLE_TOLERANCE and self.single <= SINGLE_TOLERANCE


class Replacement(nn.Module):
    """Convolution of a region, followed by its pixel shuffle (the identity for factor 1)."""

    def __init__(self, region: Region, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = region.form.module(dtype, torch.device("cpu"))
        self.shuffle = nn.PixelShuffle(region.value.shuffle)

    def forward(self, image: Tensor) -> Tensor:
        """Apply both to an image of shape (N, C, H, W)."""
        result: Tensor = self.shuffle(self.conv(image))
        return result


@torch.no_grad()
def region_error(
    graph: fx.GraphModule, execution: Execution, region: Region, dtype: torch.dtype = torch.float32
) -> RegionError:
    """Compare a region with its convolution on noise and on the region's input in the recorded run.

    Parameters
    ----------
    graph
        Traced network in float64.
    execution
        Recorded run of the network on a photograph.
    region
        Region that has not been replaced yet.
    dtype
        Timed precision.
    """
    before = _extracted(graph, region)
    double, single = Replacement(region, torch.float64), Replacement(region, dtype)
    interior = border = rounding = 0.0
    # At least the extent of the dilated kernel.
    reach = max(region.form.weight.shape[2:]) * max(region.form.dilation)
    for image in _inputs(execution.values[region.base], reach):
        expected = _output(before, image)
        if expected is None:
            continue
        scale = max(1.0, expected.abs().max().item())
        gap = (double(image) - expected).abs() / scale
        # Within `reach` pixels of the border, the kernel window extends over the padding.
        width = reach * region.value.shuffle
        inner = gap[..., width:-width, width:-width]
        interior = max(interior, inner.max().item() if inner.numel() else 0.0)
        border = max(border, gap.max().item())
        rounding = max(rounding, (single(image.to(dtype)).double() - expected).abs().max().item() / scale)
    return RegionError(interior, border, rounding)


def _output(part: nn.Module, image: Tensor) -> Tensor | None:
    """Return the output of a region; None if noise of this size is too small for its kernels."""
    try:
        output: Tensor = run_in_float64(part, image.clone())
    except RuntimeError:
        return None
    return output


def _inputs(natural: Tensor, reach: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    yield natural
    # Two sizes with pixels farther than `reach` from the border, and one that is mostly border.
    for height, width in ((4 * reach + 3, 4 * reach + 6), (2 * reach + 3, 2 * reach + 6), (7, 10)):
        yield torch.randn(1, natural.shape[1], height, width, generator=generator, dtype=natural.dtype)


def _extracted(graph: fx.GraphModule, region: Region) -> fx.GraphModule:
    """Copy the nodes between base and sink, with their modules, into a new graph."""
    part = fx.Graph()
    copies = {region.base: part.placeholder("image")}
    for node in _between(region):
        copies[node] = part.node_copy(node, lambda argument: copies[argument])
    part.output(copies[region.sink])
    # A copy, because modules of the region may keep state or change their parameters when they run.
    return copy.deepcopy(fx.GraphModule(graph, part))


def _between(region: Region) -> list[fx.Node]:
    """Return the nodes after the base on which the sink depends, in order of execution."""
    needed: set[fx.Node] = set()
    waiting = [region.sink]
    while waiting:
        node = waiting.pop()
        if node is not region.base and node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return [node for node in region.base.graph.nodes if node in needed]
