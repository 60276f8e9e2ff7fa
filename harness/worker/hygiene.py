"""The state of an accelerator before each timed call: no warm cache, nothing pinned in it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

_TIMES_CACHE = 4
_UNKNOWN_CACHE_BYTES = 64 << 20
_MAPS = Path("/proc/self/maps")


def cache_flusher(device: torch.device) -> Callable[[], None]:
    """Return what evicts the device's last-level cache, by writing four times its size; queued, not awaited.

    Lines that a network has pinned there (CUDA's persisting accesses) are released first.
    """
    module = torch.get_device_module(device)
    properties = getattr(module, "get_device_properties", lambda _: None)(device)
    cache = int(getattr(properties, "L2_cache_size", 0) or _UNKNOWN_CACHE_BYTES)
    waste = torch.empty(_TIMES_CACHE * cache, dtype=torch.uint8, device=device)
    release = _persisting_reset() if device.type == "cuda" else None

    def flush() -> None:
        if release is not None:
            release()
        waste.zero_()

    return flush


def _persisting_reset() -> Callable[[], object] | None:
    """Return CUDA's call that resets persisting cache lines, of the runtime that torch has loaded; None without."""
    with contextlib.suppress(OSError, AttributeError):
        paths = {line.split()[-1] for line in _MAPS.read_text().splitlines() if "libcudart" in line}
        for path in sorted(paths):
            reset: Callable[[], object] = ctypes.CDLL(path).cudaCtxResetPersistingL2Cache
            return reset
    return None
