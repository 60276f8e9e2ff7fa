"""The tensors in which a network is given its frames: one and the same when it is timed, a new one when it is not.

A network that keeps results by its input's identity or address then returns an old one in every timed call but the
first, and has none to return in an untimed call, which the timed one is held against.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from harness.lanes.runner import Runner

_STEP_BYTES = 512  # what torch aligns memory to on a card; less would let libraries choose other kernels
_PLACES = 4096  # how many addresses within one block of memory


class Inputs:
    """Gives a runner its frames.

    Parameters
    ----------
    runner
        The network in its lane. Where the lane runs a program of its own and not the network's Python, untimed frames
        need no tensor that was never seen.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._reused: Tensor | None = None
        self._seen: list[Tensor] = []
        self._rng = random.SystemRandom()

    def timed(self, frame: Tensor) -> Tensor:
        """Return the tensor of all timed frames of this size, filled with `frame` (1 x 3 x H x W, on the device)."""
        reused = self._reused
        if reused is None or (reused.shape, reused.dtype) != (frame.shape, frame.dtype):
            layout = self._runner.layout or torch.contiguous_format
            reused = self._reused = torch.empty_like(frame, memory_format=layout)
        return self._runner.ready(reused.copy_(frame))

    @contextmanager
    def untimed(self, frame: Tensor) -> Iterator[Tensor]:
        """Yield `frame` in a tensor of an identity that no earlier one had, at an address drawn at random."""
        layout = self._runner.layout
        if layout is None:
            yield self._runner.ready(frame)
            return
        step = _STEP_BYTES // frame.itemsize
        memory = frame.new_empty(frame.numel() + (_PLACES - 1) * step)
        strides = torch.empty_like(frame, memory_format=layout, device="meta").stride()
        given = memory.as_strided(frame.shape, strides, self._rng.randrange(_PLACES) * step)
        self._seen.append(given)
        try:
            yield self._runner.ready(given.copy_(frame))
        finally:
            given.set_()  # type: ignore[call-overload]  # frees the memory; the object stays in the list
