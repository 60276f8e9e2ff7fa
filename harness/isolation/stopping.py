"""Stop a worker and wait until every thread of it has stopped.

A signal stops a thread when it returns from the kernel. A long system call (``mmap`` with ``MAP_POPULATE``, for
example) goes on until then, which would disturb whatever is timed next.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.isolation.processes import continue_tree, cpu_seconds, process_tree, stop_tree

_PROC = Path("/proc")
_AT_REST = frozenset("TtZXx")  # states in /proc/PID/stat: stopped, traced, ended
_POLL_S = 0.0005
# A limit, because a thread in an uninterruptible system call does not stop before it returns.
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


def stop_and_wait(*roots: int, known: Sequence[int] = ()) -> Stopped:
    """Stop processes and all their descendants, and wait at most five seconds until all their threads have stopped.

    Parameters
    ----------
    roots
        Roots of the process tree.
    known
        The tree as the caller has just read it, parents first; empty to read it here.
    """
    signalled = list(known) or process_tree(*roots)
    before = cpu_seconds(signalled)
    stop_tree(signalled)
    deadline = time.monotonic() + _MAX_WAIT_S
    while True:
        at_rest = all(map(_is_at_rest, signalled))
        # Read after the states: what has stopped creates no process, so none that is missing here can exist.
        tree = process_tree(*roots)
        new = [process for process in tree if process not in signalled]
        stop_tree(new)
        signalled += new
        if (at_rest and not new) or time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    # A process that has left the tree meanwhile is not in the result, so nothing else would continue it.
    continue_tree([process for process in signalled if process not in tree])
    after = cpu_seconds(tree)
    return Stopped(tree, 0.0 if before is None or after is None else max(0.0, after - before))


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
