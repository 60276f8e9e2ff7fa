"""Clocks that time a forward pass.

On an accelerator, kernels are launched asynchronously, so that a host clock alone would measure the launch. Events on
the device's stream measure the work itself. On the CPU, a call returns when its work is done, and the monotonic clock
of the host is sufficient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns  # bound before submitted code runs, so that patching `time` has no effect
from typing import Protocol

import torch
from torch import Tensor

from harness.worker.materialise import materialised

_OVERHEAD_MS = 1.0  # upper bound for synchronization and event recording
_MAX_RATIO = 1.5  # of the two clocks


@dataclass(frozen=True, slots=True)
class Reading:
    """The time and the output of one call.

    Attributes
    ----------
    ms
        Measured time, milliseconds.
    wall_ms
        Time on the host's clock until the device was idle, milliseconds.
    output
        Output of the call; its computation has finished.
    """

    ms: float
    wall_ms: float
    output: Tensor

    @property
    def alarming(self) -> bool:
        """Whether the two clocks disagree.

        If the host's clock shows much more, work ran outside of the timed stream; if it shows much less, the events
        are wrong.
        """
        shorter, longer = sorted((self.ms, self.wall_ms))
        return longer > _MAX_RATIO * shorter + _OVERHEAD_MS


class Clock(Protocol):
    """Times one call.

    Attributes
    ----------
    name
        Name of the clock in reports.
    """

    name: str

    def time(self, call: Callable[[], Tensor]) -> Reading:
        """Run `call` and return its time and its output, whose computation has finished."""
        ...


def _no_mark() -> None:
    """Mark nothing: there is no controller in another process."""


class HostClock:
    """The monotonic clock of the host, for calls that are synchronous.

    The window includes reading every page of the output, see :mod:`harness.worker.materialise`.

    Parameters
    ----------
    mark
        Called just before and just after each timed window, outside of it, so that the controller sees its length.
    """

    name = "monotonic clock"

    def __init__(self, mark: Callable[[], object] = _no_mark) -> None:
        self._mark = mark

    def time(self, call: Callable[[], Tensor]) -> Reading:
        """Run `call` and return its time and its output."""
        self._mark()
        begin = perf_counter_ns()
        output = materialised(call())
        milliseconds = (perf_counter_ns() - begin) / 1e6
        self._mark()
        return Reading(milliseconds, milliseconds, output)


class EventClock:
    """Events on the device's current stream, with a device-wide synchronization before and after the call.

    Parameters
    ----------
    device
        An accelerator that torch's device-generic interface supports: CUDA, ROCm, XPU or MPS.
    before
        Called before each timed call, outside of the timed window. Kernels that it launches are waited for.
    keep
        Called on the output inside the timed window, to copy it into memory of the harness. The end event can then
        only be reached when the complete output has been computed.
    mark
        As for :class:`HostClock`.
    """

    name = "device events"

    def __init__(
        self,
        device: torch.device,
        before: Callable[[], None] | None = None,
        keep: Callable[[Tensor], None] | None = None,
        mark: Callable[[], object] = _no_mark,
    ) -> None:
        self.device = device
        self._before = before
        self._keep = keep
        self._mark = mark
        # `TamperDetector` checks that neither of these functions was replaced.
        self._event = torch.Event
        self._synchronize = torch.accelerator.synchronize

    def time(self, call: Callable[[], Tensor]) -> Reading:
        """Run `call` and return its time on the device and its output."""
        # Created outside of the timed window.
        begin = self._event(self.device, enable_timing=True)
        end = self._event(self.device, enable_timing=True)
        if self._before is not None:
            self._before()
        self._synchronize(self.device)
        self._mark()
        wall = perf_counter_ns()
        begin.record()
        output = call()
        if self._keep is not None:
            self._keep(output)
        end.record()
        # Device-wide, so that work on other streams ends here too. It counts in the host's time, which exposes it.
        self._synchronize(self.device)
        wall_ms = (perf_counter_ns() - wall) / 1e6
        self._mark()
        return Reading(begin.elapsed_time(end), wall_ms, output)


def clock_for(
    device: torch.device,
    before: Callable[[], None] | None = None,
    keep: Callable[[Tensor], None] | None = None,
    mark: Callable[[], object] = _no_mark,
) -> Clock:
    """Return the clock for `device`. `before` and `keep` apply to accelerators only, see :class:`EventClock`."""
    return HostClock(mark) if device.type == "cpu" else EventClock(device, before, keep, mark)
