"""A control group (cgroups v2) for each worker, if the harness has permission to create one.

The kernel then limits memory and tasks of a worker and all its descendants together; no process can leave the group.
This requires a delegated subtree: ``systemd-run --user --scope -p Delegate=yes harness run ...``, or a container with
a writable ``/sys/fs/cgroup``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.isolation.limits import Limits
from harness.isolation.processes import process_tree
from harness.machine.cores import kernel_text

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")

_CONTROLLERS = ("memory", "pids")
_CONTROLLER_GROUP = "sr-harness-controller"


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one worker."""

    path: Path

    @property
    def members(self) -> Path:
        """File to which a process writes 0 to join the group."""
        return self.path / "cgroup.procs"

    def joining(self, command: Sequence[str]) -> list[str]:
        """Return a command that joins the group and then executes `command` with the same process id."""
        # The process joins before it becomes the worker. If the controller moved it after the start, children that it
        # had forked by then would stay outside of the group. "0" stands for the writing process.
        # The first argument after the script is its $0.
        return ["/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(self.members), *command]

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel's OOM killer ended a process of the group."""
        counts = dict(line.split() for line in kernel_text(self.path / "memory.events").splitlines())
        return int(counts.get("oom_kill", 0)) > 0

    def remove(self, timeout_s: float = 2.0) -> None:
        """Kill all processes in the group and delete it. Never raises."""
        with contextlib.suppress(OSError):  # cgroup.kill exists since Linux 5.14
            (self.path / "cgroup.kill").write_text("1")
        # rmdir fails with EBUSY until the kernel has reaped the killed processes.
        end = time.monotonic() + timeout_s
        while self.path.is_dir():
            try:
                self.path.rmdir()
            except OSError:
                if time.monotonic() > end:
                    return  # an empty group costs little and is deleted with the enclosing scope
                time.sleep(0.02)


def make_group(limits: Limits) -> Group | None:
    """Create a group for one worker with these limits; return None if impossible, see :func:`cgroup_problem`."""
    if (limits.memory_bytes is None and limits.tasks is None) or cgroup_problem() is not None:
        return None
    # A random name, because several runs may share the delegated subtree.
    group = Group(_base() / f"sr-harness-{secrets.token_hex(6)}")
    try:
        group.path.mkdir()
        if limits.memory_bytes is not None:
            (group.path / "memory.max").write_text(str(limits.memory_bytes))
            # Kill the whole group on OOM: a worker that lost one of its processes would be in an undefined state.
            (group.path / "memory.oom.group").write_text("1")
        if limits.tasks is not None:
            (group.path / "pids.max").write_text(str(limits.tasks))
    except OSError:
        group.remove()
        return None
    return group


def cgroup_problem() -> str | None:
    """Return why control groups cannot be created for workers, or None if they can.

    The first successful call moves the controller into a subgroup and enables the controllers for its siblings.
    """
    base = _base()
    available = kernel_text(base / "cgroup.controllers").split()
    if not set(_CONTROLLERS) <= set(available):
        return "no control groups (cgroups v2) with the controllers memory and pids are available"
    if set(_CONTROLLERS) <= set(kernel_text(base / "cgroup.subtree_control").split()):
        return None if os.access(base, os.W_OK) else "the control group belongs to another user"
    members = {int(pid) for pid in kernel_text(base / "cgroup.procs").split()}
    # Processes of other programs must not be moved into another group.
    if members - set(process_tree(os.getpid())):
        return "the control group contains other processes than the harness"
    try:
        # "No internal processes" rule of cgroups v2: a group that distributes resources to subgroups must not contain
        # processes itself, so that the controller moves into a subgroup of its own first.
        (base / _CONTROLLER_GROUP).mkdir(exist_ok=True)
        for pid in members:
            (base / _CONTROLLER_GROUP / "cgroup.procs").write_text(str(pid))
        (base / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
    except OSError as error:
        return f"the control group cannot be subdivided ({error.strerror})"
    return None


def _base() -> Path:
    """Return the folder of the control group that the harness was started in."""
    # An entry of cgroups v2 has hierarchy id 0 and no controllers. Inside a cgroup namespace the path is "/".
    lines = [line for line in kernel_text(OWN).splitlines() if line.startswith("0::")]
    if not lines:
        return ROOT
    path = ROOT / lines[0].removeprefix("0::").strip("/")
    # An earlier call of `cgroup_problem` has moved this process into the subgroup; workers' groups are made beside it.
    return path.parent if path.name == _CONTROLLER_GROUP else path
