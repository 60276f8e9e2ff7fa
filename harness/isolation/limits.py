"""Resource limits of a worker, enforced by the kernel (``setrlimit``) and by a watcher thread in the controller.

``setrlimit`` limits each process separately; the watcher sums the usage of the worker and all its descendants.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from harness.isolation.helper_thread import HelperThread
from harness.isolation.memory_files import memory_files, total_memory
from harness.isolation.processes import kill_tree, process_tree, usage
from harness.machine.main_memory import total_bytes

# Interval between two readings of a worker's usage.
_WATCH_S = 0.1
_STOPPED_WATCH_S = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one worker with all its descendants; None for no limit.

    Attributes
    ----------
    memory_bytes
        Total resident memory with memory files and private folders and, with `cap_private_memory`, private memory of
        each process, bytes.
    cap_private_memory
        Whether to limit each process with RLIMIT_DATA as well, so that an allocation fails with an exception instead
        of the process being killed. Must be off for accelerators, whose drivers reserve far more than they use.
    tasks
        Total number of processes and threads.
    open_files
        File descriptors per process.
    file_bytes
        Size of each written file, bytes.
    cpu_s
        CPU time per process, seconds.
    tmp_bytes
        Size of the private ``/tmp`` in a sandbox, bytes.
    tmp_files
        Number of files in the private folders ``/tmp`` and ``/dev/shm``.
    """

    memory_bytes: int | None = None
    cap_private_memory: bool = True
    tasks: int | None = 256
    open_files: int | None = 1024
    file_bytes: int | None = 1 << 30
    cpu_s: int | None = 8 * 3600
    tmp_bytes: int = 1 << 30
    tmp_files: int | None = 50_000


UNLIMITED = Limits(tasks=None, open_files=None, file_bytes=None, cpu_s=None, tmp_files=None)
"""Limits for ``--sandbox none``: a separate process only."""


def default_limits(device: str = "cpu") -> Limits:
    """Return the default limits, which reserve a quarter of the main memory for other processes."""
    return Limits(memory_bytes=total_bytes() * 3 // 4, cap_private_memory=device == "cpu")


def limits_to_json(limits: Limits) -> str:
    """Serialize the limits as a command-line argument."""
    return json.dumps(asdict(limits))


def limits_from_json(text: str) -> Limits:
    """Parse the output of :func:`limits_to_json`."""
    return Limits(**json.loads(text))


def apply_in_worker(limits: Limits, *, own_user: bool = False) -> None:
    """Set the resource limits of this process; child processes inherit them.

    Parameters
    ----------
    limits
        Limits to set.
    own_user
        Whether the worker runs in its own user namespace or as a user of its own. Only then is RLIMIT_NPROC set,
        because otherwise the kernel also counts all other tasks of the user.
    """
    bounds = {
        resource.RLIMIT_CORE: 0,  # a core dump of a process with torch takes gigabytes and seconds
        resource.RLIMIT_DATA: limits.memory_bytes if limits.cap_private_memory else None,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_NPROC: limits.tasks if own_user and _counts_by_namespace() else None,
    }
    for kind, bound in bounds.items():
        if bound is not None:
            _lower(kind, bound)
    # With the signal ignored, a write beyond RLIMIT_FSIZE raises OSError (EFBIG) instead of killing the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _counts_by_namespace() -> bool:
    """Return whether this kernel counts tasks per user namespace, which it does since Linux 5.14."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return (int(major), int(minor)) >= (5, 14)


def _lower(kind: int, bound: int) -> None:
    # The hard limit is lowered as well, so that submitted code cannot raise the soft limit again.
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        # Only a privileged process may raise a hard limit.
        bound = min(bound, hard)
    resource.setrlimit(kind, (bound, bound))


Excess = Literal["MemoryLimit", "TaskLimit", "FileLimit"]


class Watcher:
    """Thread that kills a process tree if its total memory, number of tasks or number of files exceeds the limits.

    Parameters
    ----------
    roots
        Roots of the process tree.
    limits
        Only ``memory_bytes``, ``tasks`` and ``tmp_files`` are used.
    """

    def __init__(self, roots: Sequence[int], limits: Limits) -> None:
        self._roots = tuple(roots)
        self._limits = limits
        self._stop = threading.Event()
        self.thread = HelperThread(target=self._watch, name=f"watch worker {self._roots[0]}", daemon=True)
        """The thread."""
        self.is_stopped = False
        """Whether the tree is stopped. Its usage is then looked at every two seconds only.

        A run has a watcher for each loaded network. A hundred of them would keep a processor busy while one is timed.
        """
        self.excess: Excess | None = None
        """The exceeded limit, or None if the tree was not killed."""
        self.detail = ""
        """Description of `excess`; empty if the tree was not killed."""

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        if self.thread.is_alive():
            self.thread.join()

    def _watch(self) -> None:
        looked_s = -math.inf
        while not self._stop.wait(_WATCH_S):
            # A long system call may go on after the signal to stop, and a timer may continue the process.
            if self.is_stopped and time.monotonic() - looked_s < _STOPPED_WATCH_S:
                continue
            looked_s = time.monotonic()
            if self._over():
                kill_tree(*self._roots)
                return

    def _over(self) -> bool:
        """Return whether a limit is exceeded now, and record which."""
        tree = process_tree(*self._roots)
        memory, tasks = usage(tree)
        files = memory_files(tree)
        limits = self._limits
        if limits.tasks is not None and tasks > limits.tasks:
            self.excess = "TaskLimit"
            self.detail = f"it ran {tasks} processes and threads, the limit is {limits.tasks}"
        elif limits.tmp_files is not None and files.count > limits.tmp_files:
            self.excess = "FileLimit"
            self.detail = f"it had {files.count} files in its temporary folders, the limit is {limits.tmp_files}"
        elif limits.memory_bytes is not None and memory + files.total_bytes > limits.memory_bytes:
            # The resident sizes count shared pages once per process. The exact size is slow, so it is read only if the
            # sum exceeds the limit.
            memory = total_memory(tree, files)
            if memory > limits.memory_bytes:
                self.excess = "MemoryLimit"
                self.detail = f"it used {_gib(memory)} of memory, the limit is {_gib(limits.memory_bytes)}"
        return self.excess is not None


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
