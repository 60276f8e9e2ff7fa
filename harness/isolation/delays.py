"""Measure for how long other programs kept a worker from running.

A request takes longer on a busy machine, although the worker does no more work. The kernel records how long each thread
was ready to run and waited for a processor, and how much time all processors spent on other programs. Both bound the
delay: a worker can make its own threads wait for each other, but that takes no processor time of others.

Threads of the controller delay each other besides: one of them holds the interpreter's lock, for which the kernel
counts no waiting.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.isolation.helper_thread import HelperThread
from harness.isolation.processes import cpu_seconds, scheduled_s

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class DelayReading:
    """State of the counters at one moment, all in seconds.

    Attributes
    ----------
    waited
        For each thread of the worker: how long it has waited for a processor so far.
    controller_waited
        The same for the calling thread.
    controller_others
        Processor time that the controller's other threads have used so far, without those that serve the worker: a
        submission can keep them busy.
    others
        Processor time that everything but the worker and the controller has used so far, that of other virtual machines
        included.
    stolen
        The part of `others` that other virtual machines used.
    """

    waited: dict[int, float]
    controller_waited: float
    controller_others: float
    others: float
    stolen: float

    @classmethod
    def now(cls, pids: Sequence[int], helpers: Sequence[HelperThread] = ()) -> DelayReading:
        """Read the counters of the machine, the calling thread, and a worker's processes and helper threads."""
        times = psutil.cpu_times()
        # A processor whose threads wait for I/O is free for others, so this time counts as idle.
        idle = times.idle + getattr(times, "iowait", 0.0)
        twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # included in user and nice
        controller = time.process_time()
        own = (cpu_seconds(list(pids)) or 0.0) + controller
        tasks = [path for pid in pids for path in _tasks(_PROC / str(pid))]
        return cls(
            waited={int(path.name): scheduled_s(path)[1] for path in tasks},
            controller_waited=scheduled_s(_PROC / "thread-self")[1],
            controller_others=controller - time.thread_time() - sum(helper.used_s() for helper in helpers),
            others=sum(times) - twice - idle - own,
            stolen=getattr(times, "steal", 0.0),
        )

    def delay_s(self, later: DelayReading) -> float:
        """Return by how many seconds a request between this reading and `later` can have been delayed by others.

        Those are other programs, and other threads of the controller. What the system does not report counts as 0.
        """
        # Threads wait at the same time, so the longest wait of one thread bounds the delay, not the sum.
        longest = max((waited - self.waited.get(task, 0.0) for task, waited in later.waited.items()), default=0.0)
        waited = longest + later.controller_waited - self.controller_waited
        # Stolen time is not part of `waited`: a virtual machine's kernel regards the interrupted thread as running.
        stolen = max(0.0, later.stolen - self.stolen)
        threads = max(0.0, later.controller_others - self.controller_others)
        return stolen + threads + max(0.0, min(waited, later.others - self.others - stolen))


def _tasks(process: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # the process may have ended
        return list((process / "task").iterdir())
    return []
