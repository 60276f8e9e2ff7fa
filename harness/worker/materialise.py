"""Make an output exist in memory before the clock stops.

Memory can be mapped such that its content is only produced when it is read (``userfaultfd``, protected pages).
Reading one byte of every page forces that work into the timed window. Its cost depends on the size of the output alone.
A view may also have its sign pending (torch's negative bit), which is then applied.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import torch
from torch import Tensor

# Bound before submitted code could replace them. Numpy is used because torch's operations can be intercepted by modes.
_address = Tensor.data_ptr
_count = Tensor.numel
_strides = Tensor.stride
_item_bytes = Tensor.element_size
_is_negated = Tensor.is_neg
_negate = Tensor.resolve_neg
_bytes = ctypes.c_uint8
_from_buffer = np.frombuffer
_sum = np.add.reduce


def materialised(output: Tensor) -> Tensor:
    """Return an output without pending work, after reading one byte of each page of it.

    This concerns plain tensors on the CPU; others are left to later checks.
    """
    if type(output) is not Tensor or output.layout is not torch.strided or output.device.type != "cpu":
        return output
    if _is_negated(output):
        output = _negate(output)
    touch_pages(output)
    return output


def touch_pages(output: Tensor) -> None:
    """Read one byte of each page of a tensor on the CPU."""
    if not _count(output):
        return
    first = _address(output)
    if first:
        steps = zip(output.shape, _strides(output), strict=True)
        # From the first to the last element. torch has no negative strides.
        length = _item_bytes(output) * (1 + sum((size - 1) * stride for size, stride in steps))
        memory = _from_buffer(memoryview((_bytes * length).from_address(first)).cast("B"), np.uint8)
        _sum(memory[:: mmap.PAGESIZE])
        # The first element need not begin a page, so the steps may miss the last one.
        _sum(memory[-1:])
