"""What a worker may use, and the two ways in which that is enforced: by the kernel and by a watching thread.

Resource limits bind each process by itself; a watcher adds up the worker and everything that it started.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import threading
from dataclasses import asdict, dataclass
from typing import Literal

import psutil

from harness.isolation.processes import kill_tree, process_tree, proportional_memory, usage

_WATCH_S = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one worker with all that it starts; None for no bound.

    Attributes
    ----------
    memory_bytes
        Resident memory of all together and, with ``cap_private_memory``, private memory of each process.
    cap_private_memory
        Whether the kernel bounds each process too (RLIMIT_DATA), so that an allocation fails instead of a process
        being killed. Drivers of accelerators reserve far more than they use and do not bear it.
    tasks
        Processes and threads of all together.
    open_files
        Descriptors of each process.
    file_bytes
        Size of each file that it writes.
    cpu_s
        Processor seconds of each process.
    tmp_bytes
        Size of the private ``/tmp``, where there is a sandbox.
    """

    memory_bytes: int | None = None
    cap_private_memory: bool = True
    tasks: int | None = 256
    open_files: int | None = 1024
    file_bytes: int | None = 1 << 30
    cpu_s: int | None = 8 * 3600
    tmp_bytes: int = 1 << 30


UNLIMITED = Limits(tasks=None, open_files=None, file_bytes=None, cpu_s=None)
"""What ``--sandbox none`` gives: a process of its own and nothing more."""


def default_limits(device: str = "cpu") -> Limits:
    """Return limits that leave a quarter of the machine's main memory to everything else."""
    return Limits(memory_bytes=psutil.virtual_memory().total * 3 // 4, cap_private_memory=device == "cpu")


def limits_to_json(limits: Limits) -> str:
    """Return the limits as one command-line argument."""
    return json.dumps(asdict(limits))


def limits_from_json(text: str) -> Limits:
    """Return the limits from what :func:`limits_to_json` gave."""
    return Limits(**json.loads(text))


def apply_in_worker(limits: Limits, *, own_namespace: bool = False) -> None:
    """Set this process's resource limits; what it starts inherits them.

    Parameters
    ----------
    limits
        The bounds.
    own_namespace
        Whether the worker has a user namespace of its own. Only there does the kernel's count of a user's tasks
        leave out what the user runs elsewhere.
    """
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: limits.memory_bytes if limits.cap_private_memory else None,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_NPROC: limits.tasks if own_namespace and _counts_by_namespace() else None,
    }
    for kind, bound in bounds.items():
        if bound is not None:
            _lower(kind, bound)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file over the limit is an OSError, not a death


def _counts_by_namespace() -> bool:
    """Tell whether this kernel counts tasks by user namespace: since Linux 5.14."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return (int(major), int(minor)) >= (5, 14)


def _lower(kind: int, bound: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(kind, (bound, bound))


Excess = Literal["MemoryLimit", "TaskLimit"]


class Watcher:
    """Adds up the memory and the tasks of a process tree, and kills it where they are over the limits.

    Parameters
    ----------
    pid
        The tree's root.
    limits
        Only ``memory_bytes`` and ``tasks`` matter here.
    """

    def __init__(self, pid: int, limits: Limits) -> None:
        self._pid = pid
        self._limits = limits
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch worker {pid}", daemon=True)
        self.excess: Excess | None = None
        """What was over the limit, where the tree was killed for it."""
        self.detail = ""
        """The same as a sentence."""

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Cease to watch."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_WATCH_S):
            if self._over():
                kill_tree(self._pid)
                return

    def _over(self) -> bool:
        tree = process_tree(self._pid)
        memory, tasks = usage(tree)
        if self._limits.tasks is not None and tasks > self._limits.tasks:
            self.excess = "TaskLimit"
            self.detail = f"it ran {tasks} processes and threads, the limit is {self._limits.tasks}"
        elif self._limits.memory_bytes is not None and memory > self._limits.memory_bytes:
            # Pages that processes share were counted for each of them.
            memory = memory if len(tree) == 1 else proportional_memory(tree)
            if memory > self._limits.memory_bytes:
                self.excess = "MemoryLimit"
                self.detail = f"it used {_gib(memory)} of memory, the limit is {_gib(self._limits.memory_bytes)}"
        return self.excess is not None


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
