"""Reset the cache of an accelerator before each timed call, so that no call benefits from the one before."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

_CACHE_MULTIPLE = 4  # more than once, because replacement policies are not strictly least-recently-used
_DEFAULT_CACHE_BYTES = 64 << 20  # if the device does not report its cache size
_MAPS = Path("/proc/self/maps")


def cache_flusher(
    device: torch.device, find_reset: Callable[[], Callable[[], object] | None] | None = None
) -> Callable[[], None]:
    """Return a function that evicts the device's last-level cache by writing four times its size.

    The function launches the write and does not wait for it. It first releases cache lines that a network has pinned
    through CUDA's persisting accesses.

    Parameters
    ----------
    device
        An accelerator.
    find_reset
        Finds the function that releases them; by default in the CUDA runtime that torch has loaded.
    """
    module = torch.get_device_module(device)
    properties = getattr(module, "get_device_properties", lambda _: None)(device)
    cache_bytes = int(getattr(properties, "L2_cache_size", 0) or _DEFAULT_CACHE_BYTES)
    buffer = torch.empty(_CACHE_MULTIPLE * cache_bytes, dtype=torch.uint8, device=device)
    release = (find_reset or _persisting_reset)() if device.type == "cuda" else None

    def flush() -> None:
        if release is not None:
            release()
        buffer.zero_()

    return flush


def _persisting_reset() -> Callable[[], object] | None:
    """Return ``cudaCtxResetPersistingL2Cache`` of the CUDA runtime that torch has loaded, or None if not found.

    torch does not expose this function. A second copy of the runtime would act on a state of its own, so the library is
    located among the files that are mapped into this process.
    """
    with contextlib.suppress(OSError, AttributeError):
        paths = {line.split()[-1] for line in _MAPS.read_text().splitlines() if "libcudart" in line}
        for path in sorted(paths):
            reset: Callable[[], object] = ctypes.CDLL(path).cudaCtxResetPersistingL2Cache
            return reset
    return None
