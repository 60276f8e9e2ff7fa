"""Process trees: list a process with its descendants, sum their resource usage, stop and kill them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

_PROC = Path("/proc")
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: selects the CPU-time clock in a clock id made from a process id
_LISTS_CHILDREN = (_PROC / "thread-self" / "children").exists()
_PAGE = os.sysconf("SC_PAGE_SIZE")


def process_tree(*roots: int) -> list[int]:
    """Return the ids of the processes `roots` that exist and all their running descendants, parents first."""
    found = [pid for pid in roots if psutil.pid_exists(pid)]
    for process in found:  # breadth-first: the list grows during the iteration
        found.extend(child for child in _children(process) if child not in found)
    return found


def usage(pids: list[int]) -> tuple[int, int]:
    """Return the total resident memory in bytes and the total number of tasks (processes and threads) of `pids`."""
    memory = tasks = 0
    for pid in pids:
        # The process may have ended since it was listed.
        with contextlib.suppress(psutil.Error, OSError, ValueError, IndexError):
            process_memory, process_tasks = _usage(pid)
            memory += process_memory
            tasks += process_tasks
    return memory, tasks


def cpu_seconds(pids: list[int]) -> float | None:
    """Return the CPU time of `pids` and their ended children, seconds; None if none of the processes exists."""
    total, seen = 0.0, False
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            times = psutil.Process(pid).cpu_times()
            ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            total += (_own_cpu_seconds(pid) or times.user + times.system) + ended
            seen = True
    return total if seen else None


def _own_cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of one process in seconds, with nanosecond resolution; None if its clock is not readable.

    ``/proc/PID/stat``, which psutil reads, counts in ticks of 10 ms, too coarse for the short intervals measured here.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)  # MAKE_PROCESS_CPUCLOCK of the kernel
    except OSError:
        return None


def scheduled_s(task: Path) -> tuple[float, float]:
    """Return how long a thread has been on a processor, and how long it was ready to run and was not, seconds.

    Both are 0 if unknown. `task` is its folder in ``/proc``.
    """
    try:
        # Fields: time on a processor, time on a run queue, both in nanoseconds, number of time slices.
        running, waiting = (task / "schedstat").read_text().split()[:2]
        return int(running) * 1e-9, int(waiting) * 1e-9
    except (OSError, ValueError):
        return 0.0, 0.0


def kill_tree(*roots: int) -> None:
    """Kill processes, their process groups and all their descendants.

    All of them are stopped before the first is killed, so that none can fork a new process in between.
    """
    stopped: set[int] = set()
    # A process may fork before it is stopped, so the tree is listed again until no new process appears.
    # A bound, in case processes fork faster than they are stopped.
    for _attempt in range(10):
        running = [process for process in process_tree(*roots) if process not in stopped]
        if not running:
            break
        for process in running:
            _signal(process, signal.SIGSTOP)
        stopped.update(running)
    # The group also contains processes whose parent has ended, which the tree no longer shows.
    for pid in roots:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for process in stopped:
        _signal(process, signal.SIGKILL)


def stop_tree(pids: list[int]) -> None:
    """Stop (SIGSTOP) processes, parents first."""
    for process in pids:
        _signal(process, signal.SIGSTOP)


def continue_tree(pids: list[int]) -> None:
    """Continue stopped processes, children first."""
    # No parent runs while a child of it is still stopped.
    for process in reversed(pids):
        _signal(process, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _children(pid: int) -> list[int]:
    # psutil scans all processes of the machine, which takes milliseconds. The watcher calls this ten times a second
    # during measurements, so the kernel's list of children is read instead (CONFIG_PROC_CHILDREN).
    tasks = _PROC / str(pid) / "task"
    if not _LISTS_CHILDREN:
        return _children_by_psutil(pid)
    found = []
    with contextlib.suppress(OSError):  # the process has ended
        for task in tasks.iterdir():
            # A thread that ends meanwhile must not hide the children of the others.
            with contextlib.suppress(OSError):
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _children_by_psutil(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _usage(pid: int) -> tuple[int, int]:
    folder = _PROC / str(pid)
    if not _PROC.joinpath("self").exists():
        process = psutil.Process(pid)
        return process.memory_info().rss, process.num_threads()
    pages = int((folder / "statm").read_text().split()[1])  # the second field is the resident size
    return pages * _PAGE, sum(1 for _ in (folder / "task").iterdir())
