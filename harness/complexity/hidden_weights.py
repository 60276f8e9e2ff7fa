"""Find the weights of a network that are no parameters: buffers, tensors in lists, constants of compiled graphs.

A weight is an operand of a convolution or of a matrix product whose other operand derives from the image, which no
operator made of parameters, and which is not a fixed filter. Statistics of normalizations, masks and tables of
positions are no such operands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from harness.complexity.parameters import parameters_of

# Filters for blurring, resizing and transforms repeat their values, by symmetry and for each channel. Quantized weights
# repeat them too, but not in the same number in each output channel.
_LEAST_DISTINCT = 0.5
_LEAST_CHANNELS = 4  # of which so many must differ
_STEPS = 10_000  # to which values are rounded, because those of a filter may differ in their last bits


class HiddenWeights:
    """Follows tensors that no operator made to the operators that use them, in several passes of one network.

    Parameters
    ----------
    model
        The network. Its buffers may be weights; its parameters are counted elsewhere.
    """

    def __init__(self, model: nn.Module) -> None:
        self._names = {storage_of(buffer): name for name, buffer in model.named_buffers()}
        self._tensors: dict[int, Tensor] = {}
        # What each tensor was made of, by the memory of both; None for what was made of parameters.
        self._parts: dict[int, frozenset[int] | None] = {storage_of(one): None for one in parameters_of(model)}
        self._used: set[int] = set()
        for buffer in model.buffers():
            self.enter(buffer)

    def enter(self, tensor: Tensor) -> None:
        """Remember a tensor that no operator made."""
        key = storage_of(tensor)
        if key not in self._parts:
            self._parts[key] = frozenset({key})
            self._tensors[key] = tensor

    def make(self, given: Iterable[Tensor], produced: Iterable[Tensor]) -> None:
        """Remember what the results of an operator were made of."""
        parts = self._union(given)
        for tensor in produced:
            key = storage_of(tensor)
            before = self._parts.get(key, frozenset())
            self._parts[key] = None if parts is None or before is None else before | parts

    def use(self, operands: Iterable[Tensor]) -> None:
        """Note operands of a convolution or of a matrix product that do not derive from the image."""
        for operand in operands:
            self._used |= self._parts.get(storage_of(operand)) or frozenset()

    def found(self) -> list[tuple[str, int]]:
        """Return the name, empty if unknown, and the number of elements of each weight."""
        # In the order in which they were met.
        weights = ((self._names.get(key, ""), one) for key, one in self._tensors.items() if key in self._used)
        return [(name, tensor.numel()) for name, tensor in weights if _is_learned(tensor)]

    def _union(self, tensors: Iterable[Tensor]) -> frozenset[int] | None:
        parts = [self._parts.get(storage_of(tensor), frozenset()) for tensor in tensors]
        known = [one for one in parts if one is not None]
        return frozenset().union(*known) if len(known) == len(parts) else None


def described(weights: Sequence[tuple[str, int]]) -> str:
    """Return a remark about weights that are no parameters."""
    names = [name for name, _ in weights if name]
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    kinds = [f"buffers {shown}"] if names else []
    if others := len(weights) - len(names):
        kinds.append(f"{others} tensor{'s'[: others - 1]} that belong to no module")
    return f"parameters include {sum(number for _, number in weights):,} weights that are none ({' and '.join(kinds)})"


def storage_of(tensor: Tensor) -> int:
    """Return the address of a tensor's memory; tensors without memory of their own are identified by themselves."""
    try:
        return int(tensor.untyped_storage().data_ptr()) or id(tensor)
    except (NotImplementedError, RuntimeError):  # sparse tensors and tensor subclasses
        return id(tensor)


def _is_learned(tensor: Tensor) -> bool:
    """Return whether a tensor looks like trained weights: most of its values, or of its channels, differ.

    Signs, and the order of the values of a channel, do not count.
    """
    if not tensor.is_floating_point() or tensor.numel() < 2:
        return False
    values = tensor.detach().float().abs()
    nonzero = values[values != 0]
    if torch.unique(nonzero).numel() > _LEAST_DISTINCT * tensor.numel():
        return True
    channels = (values / values.max() * _STEPS).round().flatten(1) if tensor.ndim > 1 and nonzero.numel() else values
    if channels.ndim < 2 or len(channels) < _LEAST_CHANNELS:
        return False
    different = len(torch.unique(channels.sort(dim=1).values, dim=0))
    return different > max(_LEAST_CHANNELS - 1, _LEAST_DISTINCT * len(channels))
