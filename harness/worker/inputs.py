"""The tensors in which a network is given its frames: one and the same when it is timed, a new one when it is not.

A network that keeps results by its input's identity or address then returns an old one in every timed call but the
first, and has none to return in an untimed call, which the timed one is held against.
"""

from __future__ import annotations

import random
import sys

import torch
from torch import Tensor

from harness.backends.runner import Runner

_STEP_BYTES = 512  # what torch aligns memory to on a card; less would let libraries choose other kernels
_PLACES = 4096  # how many addresses within one block of memory
_STOCK = 256
_OWN_REFERENCES = 2  # the attribute's, and that of the function that counts them


class GivenFrames:
    """Gives a runner its frames.

    Parameters
    ----------
    runner
        The network in its backend. Where the backend runs a program of its own and not the network's Python, untimed frames
        need no tensor that was never seen.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._layout = runner.layout or torch.contiguous_format
        self._reused: Tensor | None = None
        self._given: Tensor | None = None
        self._memory: torch.UntypedStorage | None = None  # one for all untimed frames: the heap is left as it is
        self._emptied: list[Tensor] = []
        self._objects: list[Tensor] = []
        self._nothing: dict[torch.dtype, Tensor] = {}
        self._rng = random.SystemRandom()

    def timed(self, frame: Tensor) -> Tensor:
        """Return the tensor of all timed frames of this size, filled with `frame` (1 x 3 x H x W, on the device)."""
        reused = self._reused
        if reused is None or (reused.shape, reused.dtype) != (frame.shape, frame.dtype):
            hidden = self._runner.layout is not None  # a program may have been made for memory from its beginning
            reused = self._somewhere(frame, _memory_for(frame)) if hidden else torch.empty_like(frame)
            self._reused = reused
        return self._runner.ready(reused.copy_(frame))

    def untimed(self, frame: Tensor) -> Tensor:
        """Return `frame` in a tensor of an identity that no earlier one had, at an address drawn at random."""
        if self._runner.layout is None:
            return self._runner.ready(frame)
        if not self._empty() or self._memory is None or self._memory.nbytes() < _bytes_for(frame):
            self._memory = _memory_for(frame)
        self._given = self._somewhere(frame, self._memory)
        return self._runner.ready(self._given.copy_(frame))

    def _object(self, frame: Tensor) -> Tensor:
        """Return an empty tensor of the frame's type; made in stock, so that none lands between large blocks."""
        if not self._objects or self._objects[-1].dtype != frame.dtype:
            self._nothing[frame.dtype] = frame.new_empty(0)
            self._objects = [frame.new_empty(0) for _ in range(_STOCK)]
        return self._objects.pop()

    def _somewhere(self, frame: Tensor, memory: torch.UntypedStorage) -> Tensor:
        """Return a tensor for `frame` in the backend's layout, which begins anywhere in the memory: that tells nothing."""
        strides = torch.empty_like(frame, memory_format=self._layout, device="meta").stride()
        begin = self._rng.randint(1, _PLACES) * (_STEP_BYTES // frame.itemsize)
        return self._object(frame).set_(memory, begin, frame.shape, strides)

    def _empty(self) -> bool:
        """Take the memory from the last untimed frame, unless somebody keeps it; tell whether it is free.

        The object stays, so that no later one has its identity.
        """
        if self._given is None:
            return True
        if sys.getrefcount(self._given) > _OWN_REFERENCES:
            self._given = None
            return False
        self._given.data = self._nothing[self._given.dtype]  # one for all: no small block among large ones
        self._emptied.append(self._given)
        return True


def _bytes_for(frame: Tensor) -> int:
    return frame.nbytes + _PLACES * _STEP_BYTES


def _memory_for(frame: Tensor) -> torch.UntypedStorage:
    return torch.empty(_bytes_for(frame), dtype=torch.uint8, device=frame.device).untyped_storage()
