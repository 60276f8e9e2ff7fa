"""One measurement on a device at a time, across all processes of a machine."""

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
    """Keep other runs off an accelerator; on the CPU nothing is kept, its load is reported.

    Parameters
    ----------
    device
        As torch names it. Two names of one card are one lock where the card tells its UUID.
    waiting
        Called before it is waited for.
    wait_s
        How long to wait for another run, seconds.

    Raises
    ------
    UsageError
        The other run still holds it.
    """
    if device == "cpu":
        yield
        return
    lock = FileLock(Path(tempfile.gettempdir()) / f"sr-harness-{_identity(device)}.lock", mode=0o666)
    try:
        _acquire(lock, waiting, wait_s)
    except Timeout as error:
        raise UsageError(
            f"another run has had {device} for {wait_s:g} s", hint="wait for it, or use another device"
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
    import torch

    device = torch.device(name)
    module = torch.get_device_module(device)
    properties = getattr(module, "get_device_properties", lambda _: None)(device)
    identity = str(getattr(properties, "uuid", None) or f"{device.type}-{device.index or 0}")
    return re.sub(r"[^A-Za-z0-9-]", "-", identity)
