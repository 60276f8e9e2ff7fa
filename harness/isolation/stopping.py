"""Stop a worker and wait until every thread of it has stopped.

A signal stops a thread when it returns from the kernel. A long system call (``mmap`` with ``MAP_POPULATE``, for
example) goes on until then, which would disturb whatever is timed next.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from harness.isolation.processes import cpu_seconds, process_tree, stop_tree

_PROC = Path("/proc")
_AT_REST = frozenset("TtZXx")  # states in /proc/PID/stat: stopped, traced, ended
_POLL_S = 0.0005
_MAX_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stopped process tree.

    Attributes
    ----------
    pids
        Its processes, parents first.
    overtime_s
        Processor time that they used after the signal to stop, seconds; 0 if unknown.
    """

    pids: list[int]
    overtime_s: float


def stop_and_wait(*roots: int) -> Stopped:
    """Stop processes and all their descendants, and wait at most five seconds until all their threads have stopped."""
    before = cpu_seconds(process_tree(*roots))
    pids = stop_tree(*roots)
    deadline = time.monotonic() + _MAX_WAIT_S
    while not all(map(_is_at_rest, pids)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        if set(process_tree(*roots)) - set(pids):  # a process that was created meanwhile
            pids = stop_tree(*roots)
    after = cpu_seconds(pids)
    return Stopped(pids, 0.0 if before is None or after is None else max(0.0, after - before))


def _is_at_rest(pid: int) -> bool:
    """Return whether all threads of a process are stopped or ended; True where the system does not say."""
    try:
        states = [_state(task / "stat") for task in (_PROC / str(pid) / "task").iterdir()]
    except OSError:
        return True
    return all(state in _AT_REST for state in states)


def _state(stat: Path) -> str:
    """Return the letter of a thread's state; X if the thread has ended."""
    try:
        # The name before it is in parentheses and may hold any character.
        return stat.read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"
