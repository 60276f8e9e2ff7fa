"""Which logical processors networks are bound to, so that the scheduler moves none of them in the middle of a call.

All networks of a run have the same ones: of two copies of a network, one that happened to run beside other programs'
work and one that did not would otherwise differ by what the scheduler decided.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.machine.available_cores import available_cores

_CPU = Path("/sys/devices/system/cpu")


def bound_cores(threads: int) -> list[int]:
    """Return as many logical processors as threads; fewer where there are fewer, none where a system cannot bind.

    Fast cores come before slow ones, and a second thread of a core after the first of all: two threads of one core
    share its arithmetic units. Processor 0 comes last among equals, because systems let it serve interrupts.
    """
    return sorted(_preferred(_usable())[:threads])


def physical_cores() -> int:
    """Return how many of the usable logical processors are cores of their own; 1 at the least."""
    usable = _usable() or list(range(available_cores()))
    return max(1, sum(_rank(core, usable) == 0 for core in usable))


def multithreading() -> bool:
    """Tell whether two usable logical processors share a core."""
    usable = _usable()
    return any(_rank(core, usable) for core in usable)


def kernel_text(file: Path) -> str:
    """Return what the kernel says in a file, without white space around it; empty where there is no such file."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _usable() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _preferred(usable: list[int]) -> list[int]:
    return sorted(usable, key=lambda core: (_rank(core, usable), -_fastest_khz(core), core == 0, core))


def _rank(core: int, usable: list[int]) -> int:
    """Return how many usable logical processors of the same core come before this one."""
    siblings = _numbers(kernel_text(_CPU / f"cpu{core}" / "topology" / "thread_siblings_list"))
    return sum(other < core for other in siblings if other in usable)


def _fastest_khz(core: int) -> int:
    found = kernel_text(_CPU / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq")
    return int(found) if found.isdigit() else 0


def _numbers(ranges: str) -> set[int]:
    """Read what the kernel writes of several processors, such as ``0-3,8``."""
    found: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
