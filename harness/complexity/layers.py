"""Describe the layers of a network, with their shares of parameters and multiply-accumulates.

A layer is a module without children, or one with parameters or operations of its own. Shapes and counts are those of
the full size, or are observed at three small input sizes and extrapolated, as in `harness.complexity.count`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from harness.complexity.observation import Seen
from harness.results.measurement import Layer

Size = tuple[int, int]
Shape = tuple[int, ...]

MOST_LAYERS = 2000
"""Maximum number of layers that are described; further ones are omitted."""
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_POOLS = (nn.AvgPool2d, nn.MaxPool2d)
# Modules that compute nothing in eval mode and are left out.
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)


def describe_layers(
    model: nn.Module,
    sizes: Sequence[Size],
    observed: Sequence[Mapping[str, Seen]],
    full: Size,
) -> tuple[Layer, ...]:
    """Return the layers of a network in order of execution, followed by layers that are never called.

    Parameters
    ----------
    model
        The network.
    sizes
        Input sizes (height, width): the full one alone, or three small ones, of which the first two differ in height
        only, and the last two in width only.
    observed
        For each size, what was seen of each module, by name.
    full
        Height and width to which shapes and counts are extrapolated.
    """
    modules = dict(model.named_modules())
    params = dict(_own_parameters(modules))
    order = [name for name in observed[0] if name in modules]
    order += [name for name in modules if name not in observed[0]]
    layers = []
    for name in order:
        seen = [run.get(name, Seen()) for run in observed]
        macs = [one.macs for one in seen]
        if _is_a_row(modules[name], called=seen[0].calls > 0, has_own=params[name] > 0 or macs[0] > 0):
            shape = _extended_shape([one.made for one in seen], sizes, full)
            layers.append(_layer(name, modules[name], seen[0], shape, params[name], _extended(macs, sizes, full)))
    return tuple(layers[:MOST_LAYERS])


def _is_a_row(module: nn.Module, *, called: bool, has_own: bool) -> bool:
    if isinstance(module, _NOTHING):
        return False
    return has_own or (called and next(module.children(), None) is None)


def _own_parameters(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, int]]:
    """Yield each module's number of own parameter elements, excluding children; shared tensors count once."""
    counted: set[int] = set()
    for name, module in modules.items():
        # Parameters are identified by id because tensors with equal values need not be shared.
        own = [one for one in module.parameters(recurse=False) if id(one) not in counted]
        counted.update(map(id, own))
        yield name, sum(one.numel() for one in own)


def _layer(name: str, module: nn.Module, seen: Seen, shape: Shape, params: int, macs: int) -> Layer:
    inputs, outputs = _channels(module, seen)
    return Layer(
        name=name[:300],
        type=type(module).__name__[:100],
        kernel=list(_kernel(module)),
        settings=_settings(module),
        in_channels=inputs,
        out_channels=outputs,
        output_shape=list(shape),
        params=params,
        macs=macs,
        calls=seen.calls,
    )


def _kernel(module: nn.Module) -> Shape:
    if isinstance(module, _CONVOLUTIONS):
        return tuple(int(side) for side in module.kernel_size)
    if isinstance(module, _POOLS):
        size = module.kernel_size
        return (size, size) if isinstance(size, int) else tuple(int(side) for side in size)
    return ()


def _settings(module: nn.Module) -> str:
    """Return the settings of a convolution that differ from 1, or the factor of a pixel shuffle."""
    if isinstance(module, nn.PixelShuffle):
        return f"factor {module.upscale_factor}"
    if isinstance(module, nn.PixelUnshuffle):
        return f"factor {module.downscale_factor}"
    if not isinstance(module, _CONVOLUTIONS):
        return ""
    words = [
        f"{word} {values[0] if len(set(values)) == 1 else 'x'.join(map(str, values))}"
        for word, values in (("stride", module.stride), ("dilation", module.dilation), ("groups", (module.groups,)))
        if set(values) != {1}
    ]
    return ", ".join(words)


def _channels(module: nn.Module, seen: Seen) -> tuple[int | None, int | None]:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, _CONVOLUTIONS):
        return module.in_channels, module.out_channels
    if len(seen.given) == len(seen.made) == 4:
        return seen.given[1], seen.made[1]
    return None, None


def _extended(values: Sequence[int], sizes: Sequence[Size], full: Size) -> int:
    """Extrapolate a count linearly in the number of pixels, through the smallest and the largest size."""
    if len(values) == 1:
        return values[0]
    pixels = [height * width for height, width in sizes]
    slope = (values[-1] - values[0]) / (pixels[-1] - pixels[0])
    # Counts that fall with the size would be extrapolated below zero.
    return max(0, round(values[0] + slope * (full[0] * full[1] - pixels[0])))


def _extended_shape(shapes: Sequence[Shape], sizes: Sequence[Size], full: Size) -> Shape:
    """Extrapolate each dimension of a shape; empty if one depends on neither the height, the width nor the pixels.

    Dimensions that would become negative are rejected. They occur in networks that return outputs of earlier calls.
    """
    if len(shapes) == 1:
        return shapes[0] if all(shapes[0]) else ()
    if len({len(shape) for shape in shapes}) != 1:
        return ()
    sides = [_extended_side(values, sizes, full) for values in zip(*shapes, strict=True)]
    known = tuple(side for side in sides if side is not None and side > 0)
    return known if len(known) == len(sides) else ()


def _extended_side(values: tuple[int, ...], sizes: Sequence[Size], full: Size) -> int | None:
    # The first two sizes differ in height, the last two in width, so equal values show what a dimension depends on.
    first, second, third = values
    (low, narrow), (high, _), (_, wide) = sizes
    if first == second == third:
        return first
    if second == third:  # only the height changed between the first two sizes
        return round(first + (second - first) / (high - low) * (full[0] - low))
    if first == second:  # only the width changed between the last two
        return round(second + (third - second) / (wide - narrow) * (full[1] - narrow))
    # Neither height nor width alone: dimensions such as the number of tokens are affine in the number of pixels.
    pixels = [height * width for height, width in sizes]
    slope = (third - first) / (pixels[2] - pixels[0])
    if not math.isclose(first + slope * (pixels[1] - pixels[0]), second):
        return None
    return round(first + slope * (full[0] * full[1] - pixels[0]))
