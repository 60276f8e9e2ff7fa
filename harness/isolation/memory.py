"""Peak memory of a piece of work: the device's counters, or the resident set of this process on the CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5): resets the peak resident set size to the current one


class PeakMeter:
    """Measures the memory that work takes above what is in use when the meter is made.

    On Linux without an accelerator this is the growth of the resident set; free pages that the allocator keeps
    are given back first, or a second pass would seem to need nothing.

    Parameters
    ----------
    device
        Where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = self._reset()

    def read(self) -> int | None:
        """Return the peak since the start in bytes, or None where the machine cannot tell."""
        if self._start is None:
            return None
        return max(0, self._peak() - self._start)

    def _reset(self) -> int | None:
        if self._device.type == "cpu":
            return _reset_resident_peak()
        try:
            torch.accelerator.empty_cache()
            torch.accelerator.reset_peak_memory_stats(self._device)
            return int(torch.accelerator.memory_allocated(self._device))
        except (RuntimeError, AttributeError):  # a device without these counters
            return None

    def _peak(self) -> int:
        if self._device.type == "cpu":
            return _status_bytes("VmHWM")
        return int(torch.accelerator.max_memory_allocated(self._device))


def _release_free_memory() -> None:
    """Give the pages that glibc's allocator keeps back to the system; elsewhere do nothing."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def _reset_resident_peak() -> int | None:
    _release_free_memory()
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
        return _status_bytes("VmRSS")
    except (OSError, ValueError):
        return None


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {key}")
