"""Clocks: what the time of a forward pass is read from.

On an accelerator, work is queued and a host clock alone would time the launch; events recorded on the device's
stream bracket the work itself. Without one the monotonic clock is exact, because a CPU call returns when it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns  # bound before submitted code is imported: what that does to `time` has no effect
from typing import Protocol

import torch
from torch import Tensor

_LAUNCH_MS = 1.0  # synchronising and recording events, generously
_DISAGREEMENT = 1.5


@dataclass(frozen=True, slots=True)
class Reading:
    """The time of one call, and its output.

    Attributes
    ----------
    ms
        Milliseconds, what counts.
    wall_ms
        Milliseconds by the host's clock, until the device was idle.
    """

    ms: float
    wall_ms: float
    output: Tensor

    @property
    def alarming(self) -> bool:
        """Whether the two clocks disagree.

        The device was busy for much longer than the events say: work outside the timed stream. Or they say more than
        the host waited for.
        """
        shorter, longer = sorted((self.ms, self.wall_ms))
        return longer > _DISAGREEMENT * shorter + _LAUNCH_MS


class Clock(Protocol):
    """Times one call.

    Attributes
    ----------
    name
        What a report calls this clock.
    """

    name: str

    def time(self, call: Callable[[], Tensor]) -> Reading:
        """Run `call` and return its time and its output, finished."""
        ...


class HostClock:
    """The monotonic clock of the host, for calls that return when their work is done."""

    name = "monotonic clock"

    def time(self, call: Callable[[], Tensor]) -> Reading:
        """Run `call` and return its time and its output."""
        begin = perf_counter_ns()
        output = call()
        milliseconds = (perf_counter_ns() - begin) / 1e6
        return Reading(milliseconds, milliseconds, output)


class EventClock:
    """Events on the device's own stream, with a device-wide synchronisation before and after.

    Parameters
    ----------
    device
        An accelerator: CUDA, ROCm, XPU or MPS, through torch's device-generic interface.
    before
        Called before each timed call, outside the window; what it queues is awaited.
    keep
        Called on the output inside the window, to copy it into memory of the harness: a call is over when its whole
        output lies there.
    """

    name = "device events"

    def __init__(
        self,
        device: torch.device,
        before: Callable[[], None] | None = None,
        keep: Callable[[Tensor], None] | None = None,
    ) -> None:
        self.device = device
        self._before = before
        self._keep = keep
        self._event = torch.Event
        self._synchronize = torch.accelerator.synchronize

    def time(self, call: Callable[[], Tensor]) -> Reading:
        """Run `call` and return the device time and its output, finished."""
        begin = self._event(self.device, enable_timing=True)
        end = self._event(self.device, enable_timing=True)
        if self._before is not None:
            self._before()
        self._synchronize(self.device)
        wall = perf_counter_ns()
        begin.record()
        output = call()
        if self._keep is not None:
            self._keep(output)
        end.record()
        # Work that the call moved to another stream ends before this returns, so that it cannot be left undone.
        self._synchronize(self.device)
        return Reading(begin.elapsed_time(end), (perf_counter_ns() - wall) / 1e6, output)


def clock_for(
    device: torch.device, before: Callable[[], None] | None = None, keep: Callable[[Tensor], None] | None = None
) -> Clock:
    """Return the clock that measures `device`; see :class:`EventClock` for what an accelerator's may be given."""
    return HostClock() if device.type == "cpu" else EventClock(device, before, keep)
