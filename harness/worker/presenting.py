"""Present a network as one that maps an RGB image to an RGB image: choose its output, convert colours, keep precision.

Conversions are part of the forward pass and timed with it, because the network alone does not upscale an RGB image.
The class of the network is replaced by a subclass with another ``forward``, so that its methods, its type and its
parameters' names stay what they are. A forward pass that requires the scale beside the image gets it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.results.record import Colour
from harness.submissions.argument_names import SCALE_NAMES
from harness.worker.obstacles import mixes_precisions

_PROBES = (48, 192)  # sides of the images that are tried, multiples of most windows

# BT.601 in studio range, as MATLAB's rgb2ycbcr: rows are Y, Cb and Cr, for values from 0 to 1.
_STUDIO = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_TO_YCBCR: list[list[float]] = _STUDIO.tolist()
_TO_RGB: list[list[float]] = np.linalg.inv(_STUDIO).tolist()
_OFFSET = (16 / 255, 128 / 255, 128 / 255)


class Presentation(Protocol):
    """What is declared about a network's input and output; see the manifest's keys."""

    @property
    def output(self) -> int | str | None: ...  # noqa: D102
    @property
    def colour(self) -> Colour | None: ...  # noqa: D102
    @property
    def value_range(self) -> float: ...  # noqa: D102


def presented(network: nn.Module, scale: int, declared: Presentation) -> tuple[nn.Module, Colour | None, list[str]]:
    """Return a network that maps RGB to RGB, the colour space that it was made for, and remarks.

    Parameters
    ----------
    network
        Network in eval mode, float32, on the CPU.
    scale
        Upscaling factor.
    declared
        Which output is the image, and the colour space; None to determine it.

    Notes
    -----
    A network that raises whatever is tried, or whose output holds no image of the right size, is returned as it is.
    """
    network, notes = _given_scale(network, scale)
    colour = declared.colour
    probe = _probe(network, colour)
    if mixes_precisions(probe.error):
        network = in_own_precision(network)
        notes.append("computes in half precision inside (.half() in its code): measured so, whatever --precision says")
        probe = _probe(network, colour)
    if probe.error is not None and colour is None and _begins_with_one_channel(network):
        in_luma = _probe(network, "y")
        colour, probe = ("y", in_luma) if in_luma.error is None else (None, probe)
    output = declared.output
    if output is None:
        output, remarks = _found_output(probe, scale)
        notes += remarks
    if output is not None:
        network = with_output(network, output)
    if colour is not None and colour != "rgb":
        network = in_colour(network, colour, scale, declared.value_range)
        notes.append(_SAID[colour])
    return network, colour, notes


@dataclass(frozen=True, slots=True)
class _Probe:
    """What a network returned for a square image, or what it raised for all that were tried."""

    side: int
    output: Any = None
    error: BaseException | None = None


def _probe(network: nn.Module, colour: Colour | None) -> _Probe:
    probe = _Probe(0)
    for side in _PROBES:
        generator = torch.Generator().manual_seed(side)
        image = torch.rand(1, 1 if colour == "y" else 3, side, side, generator=generator)
        try:
            with torch.no_grad():
                return _Probe(side, network(image))
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- the contract's own checks report what it raises
            probe = _Probe(side, error=error)
    return probe


_SAID: Mapping[Colour, str] = {
    "bgr": "takes and returns BGR: its channels are swapped in the forward pass",
    "ycbcr": "takes and returns YCbCr: converted in the forward pass, which is timed",
    "y": "takes Y only: Cb and Cr are upscaled by bicubic interpolation, and the conversion is timed with the network",
}


def _given_scale(network: nn.Module, scale: int) -> tuple[nn.Module, list[str]]:
    """Return the network with a forward pass that takes the image alone, if it requires the scale beside it."""
    try:
        others = list(inspect.signature(network.forward).parameters.values())[1:]
    except (TypeError, ValueError):  # a compiled method
        return network, []
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [one.name for one in others if one.default is one.empty and one.kind not in starred]
    if not needed or not set(needed) <= set(SCALE_NAMES):
        return network, []

    def forward(inner: Callable[..., Any], x: Tensor) -> Any:
        return inner(x, **dict.fromkeys(needed, scale))

    return _replaced(network, forward), [f"its forward pass requires {', '.join(needed)}: called with the scale"]


def with_output(network: nn.Module, output: int | str) -> nn.Module:
    """Return the network with a forward pass that returns one element of what it returned."""

    def forward(inner: Callable[[Tensor], Any], x: Tensor) -> Any:
        found = inner(x)
        return found if isinstance(found, Tensor) else found[output]

    return _replaced(network, forward)


def in_own_precision(network: nn.Module) -> nn.Module:
    """Return the network in half precision, which it keeps: other floating-point types are refused silently."""
    network.half()

    def forward(inner: Callable[[Tensor], Any], x: Tensor) -> Any:
        return _cast(inner(x.half()), x.dtype)

    return _replaced(network, forward, to=_to_device, float=_same, double=_same, bfloat16=_same)


def in_colour(network: nn.Module, colour: Colour, scale: int, white: float) -> nn.Module:
    """Return the network with a forward pass that takes and returns RGB.

    Parameters
    ----------
    network
        Network for images in `colour`.
    colour
        Its colour space.
    scale
        Upscaling factor, for the chroma of a network that takes Y only.
    white
        Value of white.
    """

    def swapped(inner: Callable[[Tensor], Any], x: Tensor) -> Any:
        return inner(x.flip(1)).flip(1)

    def converted(inner: Callable[[Tensor], Any], x: Tensor) -> Any:
        return to_rgb(inner(to_ycbcr(x, white)), white)

    def luma(inner: Callable[[Tensor], Any], x: Tensor) -> Any:
        image = to_ycbcr(x, white)
        chroma = functional.interpolate(image[:, 1:], scale_factor=float(scale), mode="bicubic", align_corners=False)
        return to_rgb(torch.cat([inner(image[:, :1]), chroma], 1), white)

    return network if colour == "rgb" else _replaced(network, {"bgr": swapped, "ycbcr": converted, "y": luma}[colour])


def to_ycbcr(image: Tensor, white: float) -> Tensor:
    """Convert RGB images (N x 3 x H x W, white is `white`) to YCbCr, BT.601 in studio range."""
    planes = image.unbind(1)
    return torch.stack([_mixed(planes, row) + shift * white for row, shift in zip(_TO_YCBCR, _OFFSET, strict=True)], 1)


def to_rgb(image: Tensor, white: float) -> Tensor:
    """Convert YCbCr images to RGB: the inverse of :func:`to_ycbcr`."""
    planes = [plane - shift * white for plane, shift in zip(image.unbind(1), _OFFSET, strict=True)]
    return torch.stack([_mixed(planes, row) for row in _TO_RGB], 1)


def _mixed(planes: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return a weighted sum of planes. It has no multiply-accumulates of an operator that is counted."""
    red, green, blue = planes
    return red * weights[0] + green * weights[1] + blue * weights[2]


def _replaced(network: nn.Module, forward: Callable[..., Any], **methods: Any) -> nn.Module:
    """Return the network with another forward pass, which gets the previous one as its first argument."""
    base = type(network)
    # A forward pass in the instance hides that of its class, and a ScriptModule has compiled methods.
    if isinstance(network, torch.jit.ScriptModule) or "forward" in vars(network):
        return _Wrapped(network, forward)

    def replaced(self: nn.Module, x: Tensor) -> Any:
        return forward(lambda given, **more: base.forward(self, given, **more), x)

    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    try:
        network.__class__ = type(base.__name__, (base,), {**names, "forward": replaced, **methods})
    except TypeError:  # a class of another layout
        return _Wrapped(network, forward)
    return network


class _Wrapped(nn.Module):
    """A network inside another module, for classes that cannot be replaced."""

    def __init__(self, network: nn.Module, convert: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self._convert = convert

    def forward(self, x: Tensor) -> Any:
        return self._convert(self.network, x)


def _found_output(probe: _Probe, scale: int) -> tuple[int | str | None, list[str]]:
    """Return which element of the output is the image, with a remark; None if the output is a tensor or holds none."""
    output, side = probe.output, probe.side * scale
    if not isinstance(output, Mapping | tuple | list):
        return None, []
    entries = output.items() if isinstance(output, Mapping) else enumerate(output)
    right = [key for key, one in entries if _is_image(one) and tuple(one.shape[2:]) == (side, side)]
    if not right or not isinstance(right[0], int | str):
        return None, []
    kind = "the only image" if len(right) == 1 else f"the first of {len(right)} images"
    said = f"returns a {type(output).__name__} of {len(output)}: measured {right[0]}, {kind} of the right size"
    return right[0], [f"{said} (output in the manifest chooses)"]


def _is_image(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.shape[1] in (1, 3)


def _begins_with_one_channel(network: nn.Module) -> bool:
    first = next((one for one in network.modules() if isinstance(one, nn.Conv2d | nn.ConvTranspose2d)), None)
    return first is not None and first.in_channels == 1


def _cast(output: Any, dtype: torch.dtype) -> Any:
    if isinstance(output, Tensor):
        return output.to(dtype) if output.is_floating_point() else output
    return [_cast(one, dtype) for one in output] if isinstance(output, tuple | list) else output


def _same(self: nn.Module) -> nn.Module:
    return self


def _to_device(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """Move a network to a device without changing its precision."""
    device, _, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)  # as nn.Module.to reads them
    keywords: dict[str, Any] = {} if memory_format is None else {"memory_format": memory_format}
    return nn.Module.to(self, device=device, non_blocking=non_blocking, **keywords)
