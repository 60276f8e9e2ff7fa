"""Count the bytes that one forward pass moves and the operators that it launches, without computing anything.

Each operator is assumed to read all its inputs and write all its outputs once. This is the traffic of a network that is
executed operator by operator with caches smaller than a feature map. Views move no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic  # bound before submitted code is imported
from typing import Any

import torch
from torch import Tensor, nn

from harness.complexity.apart import apart
from harness.complexity.copying import copied, frozen
from harness.complexity.input_size import rounded_up
from harness.complexity.meta_shapes import MetaMode

Shape = tuple[int, int, int, int]

# Operators that return an alias of their input or uninitialized memory, but are not declared as views.
_MOVE_NOTHING = frozenset({"_unsafe_view", "detach", "lift_fresh", "empty", "empty_like", "empty_strided", "new_empty"})


@dataclass(frozen=True, slots=True)
class Traffic:
    """Memory traffic and number of operators of one forward pass.

    Attributes
    ----------
    bytes
        Number of bytes read and written by all operators.
    operators
        Number of operators that compute or copy.
    """

    bytes: int
    operators: int


def count_traffic(
    network: nn.Module,
    input_shape: Shape,
    *,
    itemsize: int = 4,
    size_multiple: int = 1,
    limit_s: float = math.inf,
) -> Traffic | None:
    """Count the bytes and operators of one forward pass, on torch's meta device, at the full size.

    Parameters
    ----------
    network
        Network in the form that is timed, float32. It is copied, not changed.
    input_shape
        N, C, H, W; height and width are rounded up to `size_multiple`.
    itemsize
        Bytes per floating-point element in the timed precision.
    size_multiple
        Height and width must be multiples of this.
    limit_s
        Seconds after which counting ends.

    Returns
    -------
    Traffic or None
        None if the network does not run on the meta device, or not within the limit.
    """
    n, c, h, w = input_shape
    shape = n, c, rounded_up(h, size_multiple), rounded_up(w, size_multiple)

    def counted() -> Traffic:
        with torch.no_grad(), _Counter(itemsize, monotonic() + limit_s) as counter:
            on_meta(torch.empty(shape, device="meta"))
        return Traffic(counter.bytes, counter.operators)

    try:
        # Before the fork, which must not use an accelerator.
        on_meta = frozen(copied(network).to("meta"))
        return apart(counted, limit_s)
    except Exception:  # noqa: BLE001 - submitted code may need data, or operators without a meta kernel
        return None


class _Counter(MetaMode):  # type: ignore[no-untyped-call]
    def __init__(self, itemsize: int, deadline: float) -> None:
        super().__init__()
        self._itemsize = itemsize
        self._deadline = deadline
        self.bytes = 0
        self.operators = 0

    def see(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any) -> None:
        if monotonic() > self._deadline:
            raise TimeoutError
        name = operator._schema.name.removeprefix("aten::")
        if not operator.is_view and name not in _MOVE_NOTHING:
            given = list(_tensors([args, kwargs]))
            if given:  # operators without tensor inputs create constants
                self.operators += 1
                self.bytes += sum(self._size(tensor) for tensor in [*given, *_tensors(made)])

    def _size(self, tensor: Tensor) -> int:
        """Return the number of distinct bytes of a tensor; dimensions of stride 0 (expanded) add none."""
        # A dimension of length 0 is kept, so that an empty tensor has no bytes.
        # The network is float32 here; its floating-point tensors count in the timed precision.
        elements = math.prod(n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step or n == 0)
        return elements * (self._itemsize if tensor.is_floating_point() else tensor.element_size())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
