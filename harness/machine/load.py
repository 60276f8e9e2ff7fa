"""What others take of the processor."""

from __future__ import annotations

import os
import time

import psutil

WORTH_SAYING = 0.15
"""Share of the processor in use by others that a reader of times should know of."""

_LOOK_S = 0.3


def others_share() -> tuple[float, float]:
    """Look for a third of a second; return the share of all cores that others use, and the host's own share of it.

    An average over minutes, as systems keep it, would still hold what has ended. This process does not count.
    """
    before, begin, own = psutil.cpu_times(), time.monotonic(), time.process_time()
    time.sleep(_LOOK_S)
    after = psutil.cpu_times()
    available = (time.monotonic() - begin) * (os.cpu_count() or 1)
    idle = after.idle - before.idle + getattr(after, "iowait", 0.0) - getattr(before, "iowait", 0.0)
    busy = 1 - (idle + time.process_time() - own) / available
    stolen = (getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)) / available
    return min(1.0, max(0.0, busy)), stolen
