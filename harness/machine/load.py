"""Measure how much of the CPU other programs use."""

from __future__ import annotations

import os
import time

import psutil

BUSY_THRESHOLD = 0.15
"""CPU load by other programs, as a fraction of all cores, above which times are reported with a warning."""


def busy_share(interval_s: float = 0.3) -> tuple[float, float]:
    """Measure the CPU load by other processes.

    The system's load average is not used, because it covers minutes and includes programs that have ended.

    Parameters
    ----------
    interval_s
        Duration of the measurement, seconds.

    Returns
    -------
    busy
        Fraction of all cores that is in use, in [0, 1], without this process.
    stolen
        Fraction of all cores that the hypervisor gave to other virtual machines; included in `busy`.
    """
    before, begin, own = psutil.cpu_times(), time.monotonic(), time.process_time()
    time.sleep(interval_s)
    after = psutil.cpu_times()
    available = (time.monotonic() - begin) * (os.cpu_count() or 1)
    # Busy is computed as "not idle", so that time in interrupts and in other virtual machines is included.
    # Time in which all programs of a core wait for a disk (iowait) is idle, too.
    idle = after.idle - before.idle + getattr(after, "iowait", 0.0) - getattr(before, "iowait", 0.0)
    busy = 1 - (idle + time.process_time() - own) / available
    stolen = (getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)) / available
    return min(1.0, max(0.0, busy)), stolen
