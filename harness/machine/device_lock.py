"""A machine-wide lock for each accelerator, so that only one run measures on it at a time."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import UsageError


@contextmanager
def device_lock(
    device: str, waiting: Callable[[], None] = lambda: None, *, wait_s: float = 24 * 3600.0
) -> Iterator[None]:
    """Hold an exclusive lock on an accelerator. The CPU is not locked; its load is reported instead.

    Parameters
    ----------
    device
        Torch device. Different names of one GPU share a lock if the driver reports its UUID.
    waiting
        Called once if another run holds the lock, before waiting for it.
    wait_s
        Longest time to wait for another run, seconds.

    Raises
    ------
    UsageError
        Another run still holds the lock after `wait_s`.
    """
    if device == "cpu":
        yield
        return
    # The file is world-writable, so that runs of different users exclude each other.
    path = Path(tempfile.gettempdir()) / f"sr-harness-{_identity(device)}.lock"
    lock = FileLock(path, mode=0o666, thread_local=False)  # it may be released in another thread
    try:
        _acquire(lock, waiting, wait_s)
    except Timeout as error:
        raise UsageError(
            f"another run has locked {device} for over {wait_s:g} s", hint="wait for it, or use another device"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, waiting: Callable[[], None], wait_s: float) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire(timeout=wait_s)


def _identity(name: str) -> str:
    """Return a file name component that identifies the physical device, whatever ``CUDA_VISIBLE_DEVICES`` says."""
    import torch

    device = torch.device(name)
    module = torch.get_device_module(device)
    properties = getattr(module, "get_device_properties", lambda _: None)(device)
    identity = str(getattr(properties, "uuid", None) or f"{device.type}-{device.index or 0}")
    # Characters with a meaning in paths are replaced.
    return re.sub(r"[^A-Za-z0-9-]", "-", identity)
