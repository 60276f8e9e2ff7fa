"""The number of logical processors that this process may use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of logical processors in this process's affinity mask, or of the machine if it has none."""
    # os.cpu_count() ignores a restriction by taskset or a container's cpuset.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
