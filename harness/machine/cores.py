"""Choose the logical processors that workers are pinned to, so that the kernel does not migrate them during a call.

All networks of a run are pinned to the same processors. Otherwise two copies of one network could differ only because
the scheduler placed one of them next to another program.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.machine.available_cores import available_cores

CPU_FOLDER = Path("/sys/devices/system/cpu")
"""Where Linux describes the processors."""


def bound_cores(threads: int, folder: Path = CPU_FOLDER) -> list[int]:
    """Return the logical processors to pin `threads` threads to, in ascending order.

    Faster cores are preferred, and one thread per core is preferred to two, because SMT siblings share arithmetic
    units. Processor 0 is the last choice among equals, because many systems route interrupts to it.

    Parameters
    ----------
    threads
        Number of threads.
    folder
        Describes the processors, as ``/sys/devices/system/cpu`` does.

    Returns
    -------
    list of int
        At most `threads` processors; fewer if fewer are usable, none if the system does not support affinity.
    """
    return sorted(_preferred(_usable(), folder)[:threads])


def physical_cores(folder: Path = CPU_FOLDER) -> int:
    """Return the number of physical cores among the usable logical processors, at least 1; `folder` describes them."""
    # Systems without affinity have no list of usable processors.
    usable = _usable() or list(range(available_cores()))
    return max(1, sum(_rank(core, usable, folder) == 0 for core in usable))


def multithreading(folder: Path = CPU_FOLDER) -> bool:
    """Return whether two usable logical processors share a physical core; `folder` describes them."""
    usable = _usable()
    return any(_rank(core, usable, folder) for core in usable)


def kernel_text(file: Path) -> str:
    """Return the stripped content of a file in ``/sys`` or ``/proc``, or an empty string if it cannot be read."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _usable() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _preferred(usable: list[int], folder: Path) -> list[int]:
    return sorted(usable, key=lambda core: (_rank(core, usable, folder), -_max_khz(core, folder), core == 0, core))


def _rank(core: int, usable: list[int], folder: Path) -> int:
    """Return the index of a logical processor among the usable ones of its physical core (0 for the first)."""
    # Without the file (no Linux, or a restricted container), every logical processor counts as a core.
    siblings = _parse_cpu_list(kernel_text(folder / f"cpu{core}" / "topology" / "thread_siblings_list"))
    return sum(other < core for other in siblings if other in usable)


def _max_khz(core: int, folder: Path) -> int:
    # Virtual machines usually do not expose a frequency; 0 then ranks all cores alike.
    found = kernel_text(folder / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq")
    return int(found) if found.isdigit() else 0


def _parse_cpu_list(ranges: str) -> set[int]:
    """Parse the kernel's list format, such as ``0-3,8``."""
    found: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
