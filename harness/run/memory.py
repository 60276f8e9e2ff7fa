"""Which networks fit into memory together."""

from __future__ import annotations

from collections.abc import Callable

# The rest is for the controller, the anchor, and other programs. An accelerator's allocator needs more than the peak of
# one pass; heaps on a CPU are as large as they become.
_SHARE_OF_ACCELERATOR, _SHARE_ON_CPU = 0.7, 0.8
# A worker's libraries on an accelerator, with one frame and its output. On a CPU a worker that is forked has 40 MiB of
# its own and 60 for frames and outputs; one that is executed has its libraries, too.
_BASE_ON_ACCELERATOR, _BASE_ON_CPU = 600 << 20, 300 << 20
# Assumed for a network whose peak could not be measured.
_UNKNOWN_BYTES = 2 << 30
# Blocks that are free lie between blocks in use. Of a call's largest blocks one or two find no place among them.
_HEAP_PER_PEAK, _LARGEST_HEAP_PER_PEAK = 1.3, 2.2
_LARGEST_BLOCKS_BYTES = 3 << 28


class MemoryBudget:
    """Adds up the memory of networks that are loaded at the same time.

    Parameters
    ----------
    free_bytes
        Called when a new group begins: bytes that may be used.
    on_cpu
        Whether networks use heaps, see :func:`heap_bytes`, and not an accelerator's memory.
    """

    def __init__(self, free_bytes: Callable[[], float], *, on_cpu: bool) -> None:
        self._free_bytes = free_bytes
        self._on_cpu = on_cpu
        self._share = _SHARE_ON_CPU if on_cpu else _SHARE_OF_ACCELERATOR
        self._capacity = 0.0
        self._used = 0

    def start_group(self) -> None:
        """Forget all networks and read the free memory again."""
        self._used = 0
        self._capacity = self._share * self._free_bytes()

    def fits(self, peak_bytes: int | None) -> bool:
        """Return whether another network fits beside those that were added.

        Parameters
        ----------
        peak_bytes
            Peak memory of its forward pass; None if unknown.
        """
        return self._used + self._need(peak_bytes) <= self._capacity

    def add(self, peak_bytes: int | None) -> bool:
        """Add a network, and return whether all still fit: the first one is added even if it does not."""
        self._used += self._need(peak_bytes)
        return self._used <= self._capacity

    def _need(self, peak_bytes: int | None) -> int:
        # `peak_bytes` is that of one forward pass, without the worker's libraries and weights.
        peak_bytes = _UNKNOWN_BYTES if peak_bytes is None else peak_bytes
        return _BASE_ON_CPU + heap_bytes(peak_bytes) if self._on_cpu else _BASE_ON_ACCELERATOR + peak_bytes


def heap_bytes(peak_bytes: int) -> int:
    """Return how large the heap of a worker on a CPU becomes whose calls have this peak, bytes.

    Its allocator keeps pages that are free, and free blocks of the wrong sizes serve no further call.
    """
    return round(min(_LARGEST_HEAP_PER_PEAK * peak_bytes, _HEAP_PER_PEAK * peak_bytes + _LARGEST_BLOCKS_BYTES))
