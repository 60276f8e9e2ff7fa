"""A process with all that it started: list it, add up what it uses, kill it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

_PROC = Path("/proc")
_SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED of linux/posix-timers.h: a clock of a process, named by its id
_PAGE = os.sysconf("SC_PAGE_SIZE")


def process_tree(pid: int) -> list[int]:
    """Return the ids of a process and of all its descendants that still run, parents first."""
    found = [pid]
    for process in found:  # grows while it is walked
        found.extend(child for child in _children(process) if child not in found)
    return found if psutil.pid_exists(pid) else []


def usage(pids: list[int]) -> tuple[int, int]:
    """Return the resident memory in bytes and the number of tasks (processes and threads) of `pids` together."""
    memory = tasks = 0
    for pid in pids:
        # A process may end between the two looks.
        with contextlib.suppress(psutil.Error, OSError, ValueError, IndexError):
            process_memory, process_tasks = _usage(pid)
            memory += process_memory
            tasks += process_tasks
    return memory, tasks


def proportional_memory(pids: list[int]) -> int:
    """Return the memory of `pids` together with shared pages counted once, bytes; slower than `usage`."""
    memory = 0
    for pid in pids:
        with contextlib.suppress(OSError, psutil.Error, AttributeError):
            memory += psutil.Process(pid).memory_full_info().pss
    return memory


def cpu_seconds(pids: list[int]) -> float | None:
    """Return the processor time of `pids` and of their children that have ended, seconds; None for no process."""
    total, seen = 0.0, False
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            times = psutil.Process(pid).cpu_times()
            ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            total += (_own_cpu_seconds(pid) or times.user + times.system) + ended
            seen = True
    return total if seen else None


def _own_cpu_seconds(pid: int) -> float | None:
    """Return the processor time of one process to the nanosecond, where its clock can be read (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK)
    except OSError:
        return None


def kill_tree(pid: int) -> None:
    """Kill a process, its group and all its descendants.

    They are stopped before they are killed, so that none can start another behind the back of this function.
    """
    stopped: set[int] = set()
    for _attempt in range(10):
        running = [process for process in process_tree(pid) if process not in stopped]
        if not running:
            break
        for process in running:
            _signal(process, signal.SIGSTOP)
        stopped.update(running)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for process in stopped:
        _signal(process, signal.SIGKILL)


def stop_tree(pid: int) -> list[int]:
    """Stop a process and all its descendants, and return their ids for :func:`continue_tree`."""
    tree = process_tree(pid)
    for process in tree:
        _signal(process, signal.SIGSTOP)
    return tree


def continue_tree(pids: list[int]) -> None:
    """Let stopped processes go on, children first."""
    for process in reversed(pids):
        _signal(process, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _children(pid: int) -> list[int]:
    # Looking through every process of the machine, as psutil must elsewhere, costs milliseconds; this is
    # repeated ten times a second beside a measurement.
    tasks = _PROC / str(pid) / "task"
    try:
        return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return [] if tasks.parent.parent.joinpath("self", "task").exists() else _children_by_psutil(pid)
    except OSError:
        return []


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
    pages = int((folder / "statm").read_text().split()[1])
    return pages * _PAGE, sum(1 for _ in (folder / "task").iterdir())
