"""Count parameters, multiply-accumulates and activations of a network without running it at the full size.

fvcore traces real tensors only, and a trace at 1080 x 1920 takes seconds and a gigabyte of memory. The counts of an
upscaling network are affine in the number of pixels: convolutions are proportional to it, attention over pooled
channels is constant. Three small inputs are therefore counted; two determine the line, the third verifies it.

All counts are in multiply-accumulates (MACs), never in FLOPs; ``flops = 2 * macs``.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from harness.complexity.copying import copied, settled
from harness.complexity.input_size import rounded_up
from harness.complexity.layers import Observation, convolution_macs, describe_layers, observe
from harness.complexity.meta_shapes import MetaMode
from harness.complexity.parameters import count_parameters
from harness.results.measurement import Layer

Shape = tuple[int, int, int, int]

# Elementwise and data-moving operators, which no common convention counts as multiply-accumulates.
_FREE_OPS = frozenset(
    "aten::" + name
    for name in (
        "abs abs_ add add_ alias cat chunk clamp clamp_ clamp_min clamp_max clone contiguous constant_pad_nd copy_ "
        "detach div div_ dropout elu exp expand expand_as fill_ flatten floor gelu hardsigmoid hardswish hardtanh "
        "leaky_relu leaky_relu_ log masked_fill max maximum mean min minimum mul mul_ narrow neg ones ones_like pad "
        "permute pixel_shuffle pixel_unshuffle pow prelu reciprocal reflection_pad2d relu relu_ relu6 repeat "
        "repeat_interleave replication_pad2d reshape roll round rsqrt rsub select sigmoid silu silu_ softmax "
        "softplus split sqrt square squeeze stack std sub sub_ sum tanh to transpose type_as unbind unfold unsqueeze "
        "upsample_nearest2d var view where zeros zeros_like feature_dropout log_softmax sign"
    ).split()
)
_MATRIX_OPS = ("conv", "linear", "matmul", "addmm", "bmm", "baddbmm", "mm", "einsum", "mv")
_RELU_FAMILY = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
_CROSS_CHECK_TOLERANCE = 1e-3
_MINIMUM_BASE = 24  # divisible by 2, 3, 4, 6, 8 and 12, the size multiples of networks with pixel unshuffling


@dataclass(frozen=True, slots=True)
class Complexity:
    """Cost of one forward pass.

    Attributes
    ----------
    params
        Number of parameter elements; shared parameters count once.
    macs
        Multiply-accumulates according to fvcore, or according to module hooks if these count more; None if counting
        failed.
    activations
        Number of elements in the outputs of convolutions and matrix products, according to fvcore.
    macs_ntire23
        "FLOPs" as defined by the report of the NTIRE 2023 real-time challenge: convolution MACs without bias, with
        transposed convolutions counted at output resolution, plus one per output element of a ReLU-like module.
    incomplete_ops
        Operators that are not counted, and other reasons why the count may be too low.
    source
        How the counts were obtained, in one sentence.
    layers
        Description of each layer; empty if the network could not be observed.
    """

    params: int
    macs: int | None
    activations: int | None
    macs_ntire23: int | None
    incomplete_ops: tuple[str, ...]
    source: str
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts at one input size; `matrix_macs` are from the trace, `hooked_macs` are convolutions seen by hooks."""

    macs: float
    activations: float
    macs_ntire23: float
    matrix_macs: float
    hooked_macs: float
    unseen: tuple[str, ...]
    by_module: Mapping[str, int]

    def figures(self) -> tuple[float, ...]:
        return (self.macs, self.activations, self.macs_ntire23, self.matrix_macs, self.hooked_macs)


def count(network: nn.Module, input_shape: Shape, *, size_multiple: int = 1) -> Complexity:
    """Count parameters, MACs and activations of one forward pass at `input_shape`.

    Parameters
    ----------
    network
        Network in the form that is timed. It is copied, not changed.
    input_shape
        N, C, H, W of the low-resolution input; N is 1.
    size_multiple
        Height and width are rounded up to multiples of this.

    Returns
    -------
    Complexity
        If the network cannot be traced at any small size, ``macs`` is None and ``source`` states the reason.
    """
    params = count_parameters(network)
    # Work on a copy, so that hooks of the tracer cannot remain on the network that is timed.
    model = settled(copied(network))
    sizes = _small_sizes(model, input_shape[1], size_multiple)
    if sizes is None:
        return Complexity(
            params, None, None, None, ("forward fails on small inputs",), "not counted: no small input runs"
        )
    try:
        samples = [_count_at(model, (1, input_shape[1], *size)) for size in sizes]
    except Exception as error:  # noqa: BLE001 - submitted code may raise anything; the row then has no counts
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return Complexity(params, None, None, None, ("untraceable",), f"not counted: tracing failed ({reason})")
    n, c, h, w = input_shape
    full = n, c, rounded_up(h, size_multiple), rounded_up(w, size_multiple)
    counted = _extrapolate(model, params, sizes, samples, full)
    return replace(counted, layers=_layers(model, sizes, samples, full))


def _layers(
    model: nn.Module, sizes: tuple[tuple[int, int], ...], samples: list[_Counts], full: Shape
) -> tuple[Layer, ...]:
    """Return the layers; empty if the network raises when it is observed."""
    traced = [counts.by_module for counts in samples]
    try:
        observed: list[Observation] = [observe(model, _probe(model, (1, full[1], *size))) for size in sizes]
        return describe_layers(model, sizes, traced, observed, full[2:])
    except Exception:  # noqa: BLE001 - only the table of layers is then missing, not the counts
        return ()


def _small_sizes(model: nn.Module, channels: int, multiple: int) -> tuple[tuple[int, int], ...] | None:
    """Return three input sizes that the network accepts, of three different pixel counts, or None.

    Sides are multiples of `multiple`, which is known; this looks for a size that is large enough, all three at once.
    """
    base = math.lcm(multiple, _MINIMUM_BASE)
    # Larger steps are tried because some networks reject small inputs, for example due to reflection padding.
    for step in (base, 2 * base, 4 * base, 8 * base):
        sizes = ((step, 2 * step), (2 * step, 2 * step), (2 * step, 3 * step))
        if _runs(model, [(1, channels, *size) for size in sizes]):
            return sizes
    return None


def _runs(model: nn.Module, shapes: list[Shape]) -> bool:
    try:
        with torch.inference_mode():
            for shape in shapes:
                model(_probe(model, shape))
    except Exception:  # noqa: BLE001 - submitted code may raise anything; it then does not accept this size
        return False
    return True


def _probe(model: nn.Module, shape: Shape) -> Tensor:
    """Return a reproducible input in [0, 1] on the device and in the dtype of the network."""
    reference = next(iter(model.parameters()), torch.empty(0))
    # Random values, since a constant input could take a special branch of the network.
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return values.to(device=reference.device, dtype=reference.dtype)


def _count_at(model: nn.Module, shape: Shape) -> _Counts:
    probe = _probe(model, shape)
    with _quiet(), torch.no_grad():
        # In fvcore, "flops" are multiply-accumulates.
        flops = _silenced(FlopCountAnalysis(model, (probe,)))
        activations = _silenced(ActivationCountAnalysis(model, (probe,)))
        by_operator, by_module = flops.by_operator(), dict(flops.by_module())
        matrix = sum(n for op, n in by_operator.items() if op in _MATRIX_OPS)
        unseen = tuple(sorted(op for op in flops.unsupported_ops() if op not in _FREE_OPS))
        totals = float(flops.total()), float(activations.total())
    challenge, hooked = _count_by_hooks(model, probe)
    return _Counts(*totals, challenge, float(matrix), hooked, unseen, by_module)


def _silenced(analysis: FlopCountAnalysis) -> FlopCountAnalysis:
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the tracer's log messages and warnings about the submitted code."""
    logger = logging.getLogger("fvcore")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _count_by_hooks(model: nn.Module, probe: Tensor) -> tuple[float, float]:
    """Return the count of the NTIRE 2023 report and the convolution MACs, both measured by module hooks.

    Unlike the trace, hooks see a convolution even if a custom operator follows it.
    """
    challenge = 0.0
    convolutions = 0.0

    def convolution(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal challenge, convolutions
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        per_position = math.prod(module.kernel_size) * module.in_channels * module.out_channels // module.groups
        # The report counts transposed convolutions at output resolution too; `convolution_macs` does not.
        challenge += per_position * output[0, 0].numel()
        convolutions += convolution_macs(module, inputs[0], output)

    def activation(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal challenge
        challenge += output.numel()

    with (
        _hooked(model, {(nn.Conv2d, nn.ConvTranspose2d): convolution, _RELU_FAMILY: activation}),
        torch.no_grad(),
    ):
        model(probe)
    return challenge, convolutions


@contextmanager
def _hooked(model: nn.Module, hooks: dict[tuple[type[nn.Module], ...], Callable[..., None]]) -> Iterator[None]:
    handles = [
        module.register_forward_hook(hook)
        for module in model.modules()
        for kinds, hook in hooks.items()
        if isinstance(module, kinds)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _extrapolate(
    model: nn.Module, params: int, sizes: tuple[tuple[int, int], ...], samples: list[_Counts], shape: Shape
) -> Complexity:
    """Extrapolate the counts from the small sizes to `shape`, and verify on the third size that they are affine."""
    pixels = [h * w for h, w in sizes]
    target = shape[2] * shape[3]
    lines = [_line(pixels, values) for values in zip(*(s.figures() for s in samples), strict=True)]
    macs, activations, challenge, matrix, hooked = (round(line(target)) for line, _ in lines)
    # A straight line through three sizes of different aspect ratio excludes dependence on height or width alone.
    doubts = list(samples[0].unseen)
    if not all(straight for _, straight in lines):
        doubts.append("count depends on more than the number of pixels")
    # A custom operator ends the trace, but hooks still see the convolutions before it. Use the larger lower bound.
    if hooked > matrix * (1 + _CROSS_CHECK_TOLERANCE):
        doubts.append(f"trace misses convolutions ({matrix / 1e9:.4g} of {hooked / 1e9:.4g} G)")
        macs = max(macs, hooked)
    check = _cross_check(model, shape, matrix)
    source = f"fvcore at {_listed(sizes)}, scaled by pixels; {check}"
    return Complexity(params, macs, activations, challenge, tuple(doubts), source)


def _listed(sizes: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{h}x{w}" for h, w in sizes)


def _line(pixels: list[int], values: tuple[float, ...]) -> tuple[Callable[[int], float], bool]:
    """Return the line through the first and last point, and whether the middle point lies on it."""
    slope = (values[2] - values[0]) / (pixels[2] - pixels[0])
    offset = values[0] - slope * pixels[0]
    # The absolute tolerance covers counts of zero; counts are exact integers up to rounding of the slope.
    straight = math.isclose(offset + slope * pixels[1], values[1], rel_tol=1e-9, abs_tol=1e-3)
    return (lambda n: offset + slope * n), straight


class _Products(MetaMode):  # type: ignore[no-untyped-call]
    """Sum the FLOPs of convolutions and matrix products by torch's own formulas, as FlopCounterMode does."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def see(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any) -> None:
        formula = flop_registry.get(operator._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=made)


def _cross_check(model: nn.Module, shape: Shape, matrix_macs: int) -> str:
    """Compare the count with torch's formulas at the full size on the meta device, where nothing is computed."""
    try:
        with torch.no_grad():
            on_meta = copied(model).to("meta")
            reference = next(iter(on_meta.parameters()), torch.empty(0))
            with _Products() as counter:
                on_meta(torch.empty(shape, dtype=reference.dtype, device="meta"))
    except Exception as error:  # noqa: BLE001 - submitted code may fail on tensors without data
        return f"torch.utils.flop_counter could not check it ({type(error).__name__})"
    torch_macs = counter.flops / 2  # torch counts a multiply-accumulate as two operations
    if math.isclose(torch_macs, matrix_macs, rel_tol=_CROSS_CHECK_TOLERANCE):
        return "torch.utils.flop_counter agrees"
    counted = f"torch.utils.flop_counter counts {torch_macs / 1e9:.4g} G in convolutions and products"
    return f"{counted}, fvcore {matrix_macs / 1e9:.4g} G"
