"""Which networks fit into memory together."""

from __future__ import annotations

from collections.abc import Callable

# The rest is for the controller, the anchor, and other programs.
_SHARE_OF_MEMORY = 0.7
# A worker with torch, one frame, a copy of its output, and the shared memory that carries both.
_BASE_BYTES = 600 << 20
# Assumed for a network whose peak could not be measured.
_UNKNOWN_BYTES = 2 << 30


class MemoryBudget:
    """Adds up the memory of networks that are loaded at the same time.

    Parameters
    ----------
    free_bytes
        Called when a new group begins: bytes that may be used.
    """

    def __init__(self, free_bytes: Callable[[], float]) -> None:
        self._free_bytes = free_bytes
        self._capacity = 0.0
        self._used = 0

    def start_group(self) -> None:
        """Forget all networks and read the free memory again."""
        self._used = 0
        self._capacity = _SHARE_OF_MEMORY * self._free_bytes()

    def fits(self, peak_bytes: int | None) -> bool:
        """Return whether another network fits beside those that were added.

        Parameters
        ----------
        peak_bytes
            Peak memory of its forward pass; None if unknown.
        """
        return self._used + _need(peak_bytes) <= self._capacity

    def add(self, peak_bytes: int | None) -> None:
        """Add a network."""
        self._used += _need(peak_bytes)


def _need(peak_bytes: int | None) -> int:
    # `peak_bytes` is that of one forward pass, without the worker's libraries and weights.
    return _BASE_BYTES + (peak_bytes or _UNKNOWN_BYTES)
