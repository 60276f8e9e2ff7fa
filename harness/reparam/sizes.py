"""Sizes at which a network is used, images that stand for them, and the operators that a module applies at a size.

Calls at the full size are too slow for a comparison. Two strips have the full height and the full width, and a smaller
image is about as wide for its height. What depends on both sides, such as their product, is found on the meta device,
where nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from harness.complexity.apart import apart
from harness.complexity.copying import copied
from harness.complexity.input_size import rounded_up
from harness.complexity.meta_shapes import MetaMode
from harness.reparam.double import run_in_float64

Size = tuple[int, int]
"""Height and width."""

Signature = tuple[tuple[Any, ...], ...]
"""What a module does to an image, without what follows from the size alone; see :func:`signatures`."""

FULL_SIZE: Size = (1080, 1920)
"""Size for networks of which no use is known: an input of the x2 tracks."""

_SHORT = 8  # length of the short side of a strip
_REDUCTION = 12  # factor between an image and the smaller one of the same aspect ratio
_LEAST = 96  # shortest side of the smaller image; above the thresholds for thumbnails that networks contain
_PERIOD = 8  # lengths are equal modulo this, since networks treat odd sides and halves differently
_LIMIT_S = 10.0  # time for the operators at all sizes; a module needs milliseconds


def stand_ins(size: Size, *, multiple: int = 1) -> list[Size]:
    """Return smaller sizes that stand for a size: its full width, its full height, and about its aspect ratio.

    Parameters
    ----------
    size
        Height and width.
    multiple
        All sides are multiples of this.
    """
    height, width = (rounded_up(side, multiple) for side in size)
    strips = [(_like(height, _SHORT, multiple), width), (height, _like(width, _SHORT, multiple))]
    shorter = max(_LEAST, min(height, width) // _REDUCTION)
    scale = shorter / min(height, width)
    both = _like(height, round(height * scale), multiple), _like(width, round(width * scale), multiple)
    return list(dict.fromkeys([*strips, both]))


def _like(side: int, least: int, multiple: int) -> int:
    """Return a shorter side of at least about `least` with the same remainders, or the side itself if it is shorter."""
    period = math.lcm(multiple, _PERIOD)
    return min(side, least + (side - least) % period)


def scaled(sizes: Sequence[Size], whole: Tensor, part: Tensor) -> tuple[Size, ...]:
    """Return the sizes of a part's input if that of the whole has the given sizes, from the inputs of one call."""
    return tuple(
        (
            max(1, round(height * part.shape[-2] / whole.shape[-2])),
            max(1, round(width * part.shape[-1] / whole.shape[-1])),
        )
        for height, width in sizes
    )


def signatures(module: nn.Module, channels: int, sizes: Sequence[Size]) -> list[Signature | None]:
    """Return what a module does at each size; None where it does not run on the meta device.

    That is its operators in order, with the constants among their arguments, the settings of convolutions, and which
    tensors of the module they take. Other integers are left out: most of them are lengths.
    """
    try:
        return apart(lambda: _signatures(module, channels, sizes), _LIMIT_S)
    except Exception:  # noqa: BLE001 -- submitted code; nothing is known then
        return [None] * len(sizes)


def _signatures(module: nn.Module, channels: int, sizes: Sequence[Size]) -> list[Signature | None]:
    on_meta = copied(module).to("meta")
    return [_signature(on_meta, channels, size) for size in sizes]


def may_depend(networks: Sequence[nn.Module], used: Sequence[Size], compared: Sequence[Size]) -> bool:
    """Return whether a network may do something else at sizes at which it is used than at those that are compared."""
    if not used:
        return False
    try:
        # In one process, whose start takes longer than the calls.
        seen = apart(lambda: [_signatures(network, 3, [*used, *compared]) for network in networks], _LIMIT_S)
    except Exception:  # noqa: BLE001 -- submitted code; nothing is known then
        return True
    # A network that does not run on the meta device may do anything.
    return any(full is None or full not in one[len(used) :] for one in seen for full in one[: len(used)])


@torch.no_grad()
def _signature(module: nn.Module, channels: int, size: Size) -> Signature | None:
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.get_default_dtype())
    image = torch.empty(1, channels, *size, dtype=dtype, device="meta")
    try:
        with _Recorder(module) as recorder:
            if dtype == torch.float64:
                run_in_float64(module, image)
            else:
                module(image)
    except Exception:  # noqa: BLE001 -- submitted code may need data
        return None
    return tuple(recorder.seen)


class _Recorder(MetaMode):  # type: ignore[no-untyped-call]
    """Record operators and those of their arguments that do not follow from the size of the image."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        own = [*module.parameters(), *module.buffers()]
        self._own = {id(tensor): index for index, tensor in enumerate(own)}
        self.seen: list[tuple[Any, ...]] = []

    def see(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any) -> None:  # noqa: ARG002
        name = operator._schema.name
        kinds = (bool, float, int) if "convolution" in name else (bool, float)
        leaves = tree_leaves((args, kwargs))
        tensors = tuple(self._own.get(id(leaf)) for leaf in leaves if isinstance(leaf, Tensor))
        self.seen.append((name, tensors, *(leaf for leaf in leaves if isinstance(leaf, kinds))))
