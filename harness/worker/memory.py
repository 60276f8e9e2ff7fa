"""Measure the peak memory of a forward pass: from the allocator on an accelerator, from resident memory on the CPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5): resets the peak resident set size to the current one

# mallopt(3); values of the constants in malloc.h
_M_MMAP_THRESHOLD = -3
_M_MMAP_MAX = -4
_USUAL_MMAP_MAX = 1 << 16
# A worker's environment sets it to 0 (harness.isolation.environment), that of a caller usually does not.
_OWN_MMAP_MAX = int(os.environ.get("MALLOC_MMAP_MAX_") or _USUAL_MMAP_MAX)


def forward_memory(
    network: Callable[[Tensor], Tensor],
    place: Callable[[Tensor], Tensor],
    size: tuple[int, int],
    multiple: int,
    device: str = "cpu",
) -> int | None:
    """Measure the memory that one forward pass at `size` needs in addition to weights and input, bytes.

    On an accelerator, torch's allocator counts allocated memory, and the second pass at full size is measured. On the
    CPU, resident memory is measured at a quarter and an eighth of the sides and extrapolated linearly in the number of
    pixels, because feature maps grow with the pixels and workspaces for weights do not.

    Parameters
    ----------
    network
        The network on its device, in its precision and backend.
    place
        Moves a float32 tensor to that device and precision.
    size
        Height and width of the input, multiples of `multiple`.
    multiple
        The sides of all inputs are multiples of this.
    device
        Torch device of the network.

    Returns
    -------
    int or None
        Peak in bytes; None if it cannot be measured on this machine.
    """

    def peak(height: int, width: int) -> int | None:
        return _peak_of(network, place(torch.rand(1, 3, height, width)))

    if device != "cpu":
        # In the first pass, libraries benchmark algorithms, with workspaces that later passes do not need.
        network(place(torch.rand(1, 3, *size)))
        return peak(*size)
    # The worker's allocator never returns freed pages (harness.isolation.environment), so that a second pass would not
    # raise the resident size. glibc's default is restored for the measurement.
    with _returning_pages():
        quarter, eighth = (_reduced(size, factor, multiple) for factor in (4, 8))
        peak(*eighth)  # the first pass also loads libraries
        large, small = peak(*quarter), peak(*eighth)
    if large is None or small is None:
        return None
    pixels = [height * width for height, width in (size, quarter, eighth)]
    # Both reduced sizes of a small frame can be equal.
    slope = (large - small) / max(1, pixels[1] - pixels[2])
    return max(0, round(large + slope * (pixels[0] - pixels[1])))


def _reduced(size: tuple[int, int], factor: int, multiple: int) -> tuple[int, int]:
    height, width = (max(1, round(side / factor / multiple)) * multiple for side in size)
    return height, width


def _peak_of(network: Callable[[Tensor], Tensor], given: Tensor) -> int | None:
    start = _reset(given.device)
    if start is None:
        return None
    output = network(given)
    peak = _peak(given.device)
    del output  # held until here, so that the output counts
    return max(0, peak - start)


def _reset(device: torch.device) -> int | None:
    try:
        if device.type == "cpu":
            give_back_free_pages()
            # Free pages were given back before, because reusing them would not raise the resident size.
            _CLEAR_REFS.write_text(_RESET_PEAK)
            return _status_bytes("VmRSS")
        torch.accelerator.empty_cache()
        torch.accelerator.reset_peak_memory_stats(device)
        return int(torch.accelerator.memory_allocated(device))
    except (OSError, ValueError, RuntimeError, AttributeError):  # not Linux, or a device without memory statistics
        return None


def _peak(device: torch.device) -> int:
    if device.type == "cpu":
        return _status_bytes("VmHWM")
    torch.accelerator.synchronize(device)
    return int(torch.accelerator.max_memory_allocated(device))


@contextmanager
def _returning_pages() -> Iterator[None]:
    """Restore glibc's default within the block: large blocks are returned to the system when they are freed."""
    # glibc's threshold begins at 128 KiB and adapts itself. Setting it fixes it, so that all large blocks are mapped.
    _mallopt(_M_MMAP_THRESHOLD, 1 << 18)
    _mallopt(_M_MMAP_MAX, _USUAL_MMAP_MAX)
    try:
        yield
    finally:
        _mallopt(_M_MMAP_MAX, _OWN_MMAP_MAX)


def _mallopt(parameter: int, value: int) -> None:
    try:
        ctypes.CDLL(None).mallopt(parameter, value)
    except (OSError, AttributeError):
        return  # not glibc


def give_back_free_pages() -> None:
    """Return freed memory that glibc retains to the system. Does nothing with another C library."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def touch_spare_pages(size: tuple[int, int], scale: int) -> None:
    """Let the heap of a worker on the CPU grow by the memory of an output and four inputs.

    The worker's allocator never returns freed pages, but it places blocks differently from call to call. A heap that is
    just large enough for the first call grows in several of the next ones, and a timed call that waits for new pages
    takes tens of milliseconds more, or hundreds on a virtual machine whose host has to provide them.

    Parameters
    ----------
    size
        Height and width of the input.
    scale
        Upscaling factor.
    """
    height, width = size
    grow_heap(4 * 3 * height * width * (scale**2 + 4))


def grow_heap(size_bytes: int) -> None:
    """Let the heap of a worker on the CPU hold so many free bytes, all of them in pages that exist."""
    # One block, because several would fit between those that are in use, and the heap would not grow.
    spare = torch.ones(size_bytes // 4)  # written: only then the pages are there
    del spare


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {key}")
