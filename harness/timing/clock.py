"""Clocks: what the time of a forward pass is read from.

On an accelerator, work is queued and a host clock alone would time the launch; events recorded on the device's
stream bracket the work itself. Without one the monotonic clock is exact, because a CPU call returns when it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Clock(Protocol):
    """Times one call.

    Attributes
    ----------
    name
        What a report calls this clock.
    """

    name: str

    def time(self, call: Callable[[], Tensor]) -> tuple[float, Tensor]:
        """Run `call` and return its time in milliseconds and its output, finished."""
        ...


class HostClock:
    """The monotonic clock of the host, for calls that return when their work is done."""

    name = "monotonic clock"

    def time(self, call: Callable[[], Tensor]) -> tuple[float, Tensor]:
        """Run `call` and return its time in milliseconds and its output."""
        begin = time.perf_counter_ns()
        output = call()
        return (time.perf_counter_ns() - begin) / 1e6, output


class EventClock:
    """Events on the device's own stream, with a device-wide synchronisation before and after.

    Parameters
    ----------
    device
        An accelerator: CUDA, ROCm, XPU or MPS, through torch's device-generic interface.
    """

    name = "device events"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def time(self, call: Callable[[], Tensor]) -> tuple[float, Tensor]:
        """Run `call` and return the device time in milliseconds and its output, finished."""
        begin = torch.Event(self.device, enable_timing=True)
        end = torch.Event(self.device, enable_timing=True)
        torch.accelerator.synchronize(self.device)
        begin.record()
        output = call()
        end.record()
        # Work that the call moved to another stream ends before this returns, so that it cannot be left undone.
        torch.accelerator.synchronize(self.device)
        return begin.elapsed_time(end), output


def clock_for(device: torch.device) -> Clock:
    """Return the clock that measures `device`."""
    return HostClock() if device.type == "cpu" else EventClock(device)
