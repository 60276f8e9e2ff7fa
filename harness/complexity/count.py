"""Count parameters, multiply-accumulates and activations of a network at the size of a track.

Operators are counted where torch dispatches them (`harness.complexity.observation`). On the meta device, where nothing
is computed, this is possible at the full size. Three small inputs are counted on real tensors. They verify the count on
the meta device, and whether counts are proportional to the number of pixels; they replace it for networks that do not
run there. fvcore, the counter of the challenges, is compared at the smallest size.

All counts are in multiply-accumulates (MACs), never in FLOPs; ``flops = 2 * macs``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from harness.complexity.apart import apart
from harness.complexity.comparison import compare_with_fvcore
from harness.complexity.copying import copied, frozen
from harness.complexity.hidden_weights import described
from harness.complexity.input_size import rounded_up
from harness.complexity.layers import describe_layers
from harness.complexity.observation import Observation, Origins, OutOfTimeError, observe, outside_work
from harness.complexity.parameters import count_parameters
from harness.results.measurement import TOO_LONG, Layer

Shape = tuple[int, int, int, int]
Size = tuple[int, int]

LIMIT_S = 30.0
"""Time after which counting ends, seconds. Counts that are missing then are left out, and the source says so."""

_MINIMUM_BASE = 24  # divisible by 2, 3, 4, 6, 8 and 12, the size multiples of networks with pixel unshuffling


@dataclass(frozen=True, slots=True)
class Complexity:
    """Cost of one forward pass.

    Attributes
    ----------
    params
        Number of parameter elements; shared parameters count once. Weights that are no parameters are included, see
        :mod:`harness.complexity.hidden_weights`.
    macs
        Multiply-accumulates by the conventions of fvcore; None if counting failed.
    activations
        Number of elements in the outputs of convolutions and matrix products.
    macs_ntire23
        "FLOPs" as defined by the report of the NTIRE 2023 real-time challenge: convolution MACs without bias, with
        transposed convolutions counted at output resolution, plus one per output element of a ReLU-like module.
    incomplete_ops
        Operators that can hold multiply-accumulates and are not counted, and other reasons why the count may be too
        low.
    source
        How the counts were obtained, in one sentence.
    layers
        Description of each layer; empty if the network could not be observed.
    note
        What `params` includes besides parameters; empty if nothing.
    """

    params: int
    macs: int | None
    activations: int | None
    macs_ntire23: int | None
    incomplete_ops: tuple[str, ...]
    source: str
    layers: tuple[Layer, ...] = ()
    note: str = ""


def count(network: nn.Module, input_shape: Shape, *, size_multiple: int = 1, limit_s: float = LIMIT_S) -> Complexity:
    """Count parameters, MACs and activations of one forward pass at `input_shape`.

    Parameters
    ----------
    network
        Network in eval mode, in the form that is timed. It is copied if possible, and never changed.
    input_shape
        N, C, H, W of the low-resolution input; N is 1.
    size_multiple
        Height and width are rounded up to multiples of this.
    limit_s
        Seconds after which counting ends.

    Returns
    -------
    Complexity
        If the network runs at no small size, nor at the full size on the meta device, ``macs`` is None and ``source``
        states the reason.
    """
    n, c, h, w = input_shape
    full = n, c, rounded_up(h, size_multiple), rounded_up(w, size_multiple)
    return _Counting(network, full, time.monotonic() + limit_s).result(size_multiple)


def _copied(network: nn.Module) -> nn.Module:
    """Return a copy, so that nothing that counting does can remain on the timed network; itself if it has none."""
    try:
        return frozen(copied(network))
    except Exception:  # noqa: BLE001 - submitted code may hold what cannot be copied, such as a lock
        return network


class _Counting:
    """Count one network at one size."""

    def __init__(self, network: nn.Module, full: Shape, deadline: float) -> None:
        self._params = count_parameters(network)
        self._hidden: list[tuple[str, int]] = []  # weights that are no parameters
        self._network = network
        self._model = _copied(network)
        self._full = full
        self._deadline = deadline

    def result(self, multiple: int) -> Complexity:
        """Return the counts."""
        sizes, small, reason = self._observe_small(multiple)
        self._params += sum(number for _, number in self._hidden)
        outside = outside_work(small) if small else ""
        # All multiply-accumulates may be hidden in the other library; a count of zero would be wrong.
        if outside and not small[0].macs:
            return self._missing(outside)
        whole = self._on_meta(self._full)
        # A network may take another path on tensors without data.
        if small and whole is not None and not self._agrees_on_meta(sizes[0], small[0]):
            whole = None
        # Nothing verifies a count on the meta device then, but it is better than none.
        if not small:
            return self._missing(reason) if whole is None else self._at_full_size(whole, "on meta tensors")
        # Only affine counts can be extrapolated; for others, one pass at the full size is counted.
        if whole is None and not self._is_affine(sizes, small):
            whole = self._in_a_real_pass(sizes, small)
            counted = self._scaled(sizes, small) if whole is None else self._at_full_size(whole, "in one forward pass")
            if whole is None:
                counted = replace(counted, incomplete_ops=(self._doubt(),))
        elif whole is None:
            counted = self._scaled(sizes, small)
        else:
            counted = self._at_full_size(whole, "on meta tensors")
        remarks = [counted.source]
        if not _is_proportional(sizes, small, self._full, counted.macs):
            remarks.append("not proportional to the number of pixels")
        probe = _probe(self._model, (1, self._full[1], *sizes[0]))
        remarks.append(compare_with_fvcore(self._model, probe, small[0], self._deadline))
        doubts = [*sorted(set().union(*(one.unseen for one in small))), *([outside] if outside else [])]
        doubts = list(dict.fromkeys([*doubts, *counted.incomplete_ops]))
        layers = self._layers(sizes, small, whole)
        note = described(self._hidden) if self._hidden else ""
        return replace(counted, incomplete_ops=tuple(doubts), source="; ".join(remarks), layers=layers, note=note)

    def _doubt(self) -> str:
        """Return why counts that are extrapolated may be wrong."""
        if time.monotonic() > self._deadline:
            return f"counted at small sizes only, because the full size {TOO_LONG}"
        return "count depends on more than the number of pixels"

    def _missing(self, reason: str) -> Complexity:
        return Complexity(self._params, None, None, None, (reason,), f"not counted: {reason}")

    def _at_full_size(self, whole: Observation, how: str) -> Complexity:
        source = f"torch's operators at {_listed([self._full[2:]])}, {how}"
        return Complexity(self._params, *whole.figures(), tuple(sorted(whole.unseen)), source)

    def _scaled(self, sizes: Sequence[Size], small: Sequence[Observation]) -> Complexity:
        """Extrapolate the counts from the small sizes by the number of pixels."""
        target = self._full[2] * self._full[3]
        macs, activations, challenge = (
            round(_on_line(_pixels(sizes), values, target))
            for values in zip(*(s.figures() for s in small), strict=True)
        )
        source = f"torch's operators at {_listed(sizes)}, scaled by pixels"
        return Complexity(self._params, macs, activations, challenge, (), source)

    def _observe_small(self, multiple: int) -> tuple[tuple[Size, ...], list[Observation], str]:
        """Count at three sizes that the network takes, of three different pixel counts.

        Returns
        -------
        tuple
            The sizes, the counts, and the reason why there are none. Sides are multiples of `multiple`, which is known;
            this looks for a size that is large enough, all three at once.
        """
        base, reason = math.lcm(multiple, _MINIMUM_BASE), ""
        # Shared by the three passes, so that constants that the first pass met are known in the others.
        origins = Origins(self._model)
        # Larger steps are tried because some networks reject small inputs, for example due to reflection padding.
        for step in (base, 2 * base, 4 * base, 8 * base):
            # The first two differ in height only, the last two in width only, as `describe_layers` requires.
            sizes = ((step, 2 * step), (2 * step, 2 * step), (2 * step, 3 * step))
            try:
                probes = [_probe(self._model, (1, self._full[1], *size)) for size in sizes]
                seen = [observe(self._model, probe, self._deadline, origins) for probe in probes]
                self._hidden = origins.weights.found()
                return sizes, seen, ""
            except OutOfTimeError:
                return (), [], f"counting at small sizes {TOO_LONG}"
            except Exception as error:  # noqa: BLE001 - submitted code may raise anything; a larger size may do
                reason = reason or f"forward fails on small inputs ({_line_of(error)})"
        return (), [], reason

    def _on_meta(self, shape: Shape) -> Observation | None:
        """Count on the meta device, in a process of its own; None if the network does not run there."""

        def observed() -> Observation:
            return observe(on_meta, image, self._deadline)

        try:
            # Before the fork, which must not use an accelerator.
            on_meta = copied(self._model).to("meta")
            image = torch.empty(shape, dtype=_reference(self._model).dtype, device="meta")
            return apart(observed, self._deadline - time.monotonic())
        except Exception:  # noqa: BLE001 - submitted code may fail on tensors without data
            return None

    def _agrees_on_meta(self, size: Size, real: Observation) -> bool:
        on_meta = self._on_meta((1, self._full[1], *size))
        return on_meta is not None and on_meta.figures() == real.figures()

    def _is_affine(self, sizes: Sequence[Size], small: Sequence[Observation]) -> bool:
        """Return whether the counts are affine in the number of pixels, also with the remainders of the full size.

        The small sizes are multiples of common windows. A network that pads to whole windows shows this at others only.
        """
        (low, narrow), remainder = sizes[0], tuple(side % sizes[0][0] for side in self._full[2:])
        if not _is_straight(sizes, small) or not any(remainder):
            return _is_straight(sizes, small)
        size = low + remainder[0], narrow + remainder[1]
        try:
            seen = observe(self._model, _probe(self._model, (1, self._full[1], *size)), self._deadline)
        except Exception:  # noqa: BLE001 - submitted code may raise anything; nothing is known then
            return False
        return _is_straight((sizes[0], size, sizes[2]), [small[0], seen, small[2]])

    def _in_a_real_pass(self, sizes: Sequence[Size], small: Sequence[Observation]) -> Observation | None:
        """Count in one forward pass at the full size; None if that fails or is expected to exceed the limit."""
        height, width = sizes[-1]
        # The time is assumed to be proportional to the number of pixels.
        expected = small[-1].seconds * self._full[2] * self._full[3] / (height * width)
        if time.monotonic() + expected > self._deadline:
            return None
        try:
            return observe(self._model, _probe(self._model, self._full), self._deadline)
        except Exception:  # noqa: BLE001 - out of memory or of time, or whatever submitted code raises
            return None

    def _layers(
        self, sizes: Sequence[Size], small: Sequence[Observation], whole: Observation | None
    ) -> tuple[Layer, ...]:
        """Return the layers, as seen at the full size if possible, else extrapolated."""
        try:
            if whole is not None:
                return describe_layers(self._model, [self._full[2:]], [whole.modules], self._full[2:])
            return describe_layers(self._model, sizes, [one.modules for one in small], self._full[2:])
        except Exception:  # noqa: BLE001 - only the table of layers is then missing, not the counts
            return ()


def _line_of(error: Exception) -> str:
    return (f"{type(error).__name__}: {error}".splitlines() or [""])[0][:200]


def _reference(model: nn.Module) -> Tensor:
    return next(iter(model.parameters()), torch.empty(0, dtype=torch.float32, device="cpu"))


def _probe(model: nn.Module, shape: Shape) -> Tensor:
    """Return a reproducible input in [0, 1] on the device and in the dtype of the network."""
    reference = _reference(model)
    # Random values, since a constant input could take a special branch of the network.
    # Explicitly, because the caller may have changed torch's defaults.
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")
    return values.to(device=reference.device, dtype=reference.dtype)


def _listed(sizes: Sequence[Size]) -> str:
    return ", ".join(f"{h}x{w}" for h, w in sizes)


def _pixels(sizes: Sequence[Size]) -> list[int]:
    return [h * w for h, w in sizes]


def _on_line(pixels: Sequence[int], values: Sequence[float], at: int) -> float:
    """Return the value at `at` pixels on the line through the first and the last point."""
    slope = (values[-1] - values[0]) / (pixels[-1] - pixels[0])
    return values[0] + slope * (at - pixels[0])


def _is_straight(sizes: Sequence[Size], small: Sequence[Observation]) -> bool:
    """Return whether all counts are affine in the number of pixels.

    Three sizes of different aspect ratio on a line exclude dependence on height or width alone.
    """
    pixels = _pixels(sizes)
    # The absolute tolerance covers counts of zero; counts are exact integers up to rounding of the slope.
    return all(
        math.isclose(_on_line(pixels, values, pixels[1]), values[1], rel_tol=1e-9, abs_tol=1e-3)
        for values in zip(*(one.figures() for one in small), strict=True)
    )


def _is_proportional(sizes: Sequence[Size], small: Sequence[Observation], full: Shape, macs: int | None) -> bool:
    """Return whether the count at the full size is what the small sizes predict, to 0.1 %."""
    predicted = _on_line(_pixels(sizes), [one.macs for one in small], full[2] * full[3])
    return _is_straight(sizes, small) and macs is not None and math.isclose(predicted, macs, rel_tol=1e-3, abs_tol=1)
