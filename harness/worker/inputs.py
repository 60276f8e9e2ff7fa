"""The tensor that networks receive: the same one for every call with frames of one size, timed or not.

A network cannot distinguish a timed call from another one by its input. One that caches outputs by the identity or
the address of its input returns the output of its first frame for all frames.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from harness.backends.runner import Runner

_ALIGNMENT_BYTES = 512  # alignment of torch's CUDA allocator; with a smaller one libraries may select other kernels
_OFFSETS = 4096  # number of possible start addresses within one block of memory
# Bound before submitted code could replace them.
_copy = Tensor.copy_
_random_bytes = os.urandom  # submitted code can neither seed nor predict it


class GivenFrames:
    """Places frames into the tensor that a runner receives.

    Parameters
    ----------
    runner
        The network in its backend.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._given: Tensor | None = None
        self._memory: torch.UntypedStorage | None = None  # one block for all sizes, so that the heap is not fragmented
        self._replaced: tuple[object, ...] = ()

    def place(self, frame: Tensor) -> Tensor:
        """Return the tensor of all frames of this size, filled with `frame` (1 x 3 x H x W, on the device)."""
        given = self._given
        if given is None or (given.shape, given.dtype) != (frame.shape, frame.dtype):
            # Kept until `release`: a network may have attached a finalizer, which must find no frame.
            self._replaced = given, self._memory
            given = self._given = self._tensor_for(frame)
        return self._runner.ready(_copy(given, frame))

    def release(self) -> None:
        """Free what other sizes needed. To be called while there is no frame."""
        self._replaced = ()

    def _tensor_for(self, frame: Tensor) -> Tensor:
        """Return a new tensor in the backend's layout, at a random offset in the block of memory."""
        if self._runner.layout is None:  # a recorded program may require memory without an offset
            return torch.empty_like(frame)
        if self._memory is None or self._memory.nbytes() < _bytes_for(frame):
            self._memory = torch.empty(_bytes_for(frame), dtype=torch.uint8, device=frame.device).untyped_storage()
        _, channels, height, width = frame.shape
        # Not by an empty tensor on the meta device: submitted code may replace the kernels of that device.
        rows_first = (channels * height * width, height * width, width, 1)
        channels_last = (channels * height * width, 1, width * channels, channels)
        strides = channels_last if self._runner.layout is torch.channels_last else rows_first
        # Eight bytes: the bias of the remainder is negligible.
        place = 1 + int.from_bytes(_random_bytes(8), "little") % _OFFSETS
        offset = place * (_ALIGNMENT_BYTES // frame.itemsize)
        return frame.new_empty(0).set_(self._memory, offset, frame.shape, strides)


def _bytes_for(frame: Tensor) -> int:
    return frame.nbytes + _OFFSETS * _ALIGNMENT_BYTES
