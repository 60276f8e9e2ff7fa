"""The tensors that networks receive: always the same one in timed calls, always a new one in untimed calls.

This exposes networks that cache outputs by the identity or the address of the input. Such a network returns a stale
output in every timed call but the first, and has no cached output in untimed calls, with which timed ones are compared.
"""

from __future__ import annotations

import random
import sys

import torch
from torch import Tensor

from harness.backends.runner import Runner

_ALIGNMENT_BYTES = 512  # alignment of torch's CUDA allocator; with a smaller one libraries may select other kernels
_OFFSETS = 4096  # number of possible start addresses within one block of memory
_POOL_SIZE = 256
_OWN_REFERENCES = 2  # of the attribute and of the argument of sys.getrefcount


class GivenFrames:
    """Places frames into the tensors that a runner receives.

    Parameters
    ----------
    runner
        The network in its backend. If the backend executes a compiled or recorded program instead of the network's
        Python code (``runner.layout`` is None), untimed frames need no new tensor, because the program cannot cache
        outputs.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._layout = runner.layout or torch.contiguous_format
        self._reused: Tensor | None = None
        self._last: Tensor | None = None
        # One block for all untimed frames, so that they do not fragment the heap between timed calls.
        self._memory: torch.UntypedStorage | None = None
        # Used tensors are kept alive: the id of a deleted object may be assigned to a new one.
        self._used: list[Tensor] = []
        self._pool: list[Tensor] = []
        self._empty_tensors: dict[torch.dtype, Tensor] = {}
        self._rng = random.SystemRandom()  # submitted code can neither seed nor predict it

    def timed(self, frame: Tensor) -> Tensor:
        """Return the tensor of all timed frames of this size, filled with `frame` (1 x 3 x H x W, on the device)."""
        reused = self._reused
        if reused is None or (reused.shape, reused.dtype) != (frame.shape, frame.dtype):
            # Timed tensors get a random offset too. With offset 0 they would be recognizable, and a network could do
            # less work in timed calls. A recorded program may require memory without an offset.
            runs_python = self._runner.layout is not None
            reused = self._at_random_offset(frame, _memory_for(frame)) if runs_python else torch.empty_like(frame)
            self._reused = reused
        return self._runner.ready(reused.copy_(frame))

    def untimed(self, frame: Tensor) -> Tensor:
        """Return `frame` in a tensor object that was never used before, at a random address."""
        if self._runner.layout is None:
            return self._runner.ready(frame)
        if not self._release_last() or self._memory is None or self._memory.nbytes() < _bytes_for(frame):
            self._memory = _memory_for(frame)
        self._last = self._at_random_offset(frame, self._memory)
        return self._runner.ready(self._last.copy_(frame))

    def _new_tensor(self, frame: Tensor) -> Tensor:
        """Return an unused empty tensor of the frame's dtype.

        Tensors are created in batches, so that small allocations do not end up between large blocks of the heap.
        """
        if not self._pool or self._pool[-1].dtype != frame.dtype:
            self._empty_tensors[frame.dtype] = frame.new_empty(0)
            self._pool = [frame.new_empty(0) for _ in range(_POOL_SIZE)]
        return self._pool.pop()

    def _at_random_offset(self, frame: Tensor, memory: torch.UntypedStorage) -> Tensor:
        """Return a tensor for `frame` in the backend's layout, at a random offset in `memory`."""
        strides = torch.empty_like(frame, memory_format=self._layout, device="meta").stride()
        offset = self._rng.randint(1, _OFFSETS) * (_ALIGNMENT_BYTES // frame.itemsize)
        return self._new_tensor(frame).set_(memory, offset, frame.shape, strides)

    def _release_last(self) -> bool:
        """Detach the last untimed tensor from the memory; return whether the memory can be reused.

        If submitted code holds a reference to the tensor, it keeps the memory, and the next frame needs a new block.
        """
        if self._last is None:
            return True
        if sys.getrefcount(self._last) > _OWN_REFERENCES:
            self._last = None
            return False
        self._last.data = self._empty_tensors[self._last.dtype]  # shared, to avoid an allocation per frame
        self._used.append(self._last)
        return True


def _bytes_for(frame: Tensor) -> int:
    return frame.nbytes + _OFFSETS * _ALIGNMENT_BYTES


def _memory_for(frame: Tensor) -> torch.UntypedStorage:
    return torch.empty(_bytes_for(frame), dtype=torch.uint8, device=frame.device).untyped_storage()
