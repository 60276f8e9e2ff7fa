"""A control group (cgroups v2) for each worker, where the harness may make one.

The kernel then counts memory and tasks of a worker and of all that it starts, together, and lets none escape. It takes
a subtree of groups that is the harness's own: ``systemd-run --user --scope -p Delegate=yes harness run ...``, or a
container of its own with a writable ``/sys/fs/cgroup``.
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
_OURS = "sr-harness-controller"  # where the controller goes: a group with subgroups may hold no process itself
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Group:
    """One worker's control group."""

    path: Path

    def joining(self, command: Sequence[str]) -> list[str]:
        """Return a command that enters the group first, and then becomes `command` under the same process id."""
        return ["/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(self.path / "cgroup.procs"), *command]

    def ran_out_of_memory(self) -> bool:
        """Tell whether the kernel ended a process of the group for its memory."""
        counts = dict(line.split() for line in kernel_text(self.path / "memory.events").splitlines())
        return int(counts.get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Kill what is left in the group, and remove it; never raises."""
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")
        end = time.monotonic() + _PATIENCE_S
        while self.path.is_dir():
            try:
                self.path.rmdir()
            except OSError:
                if time.monotonic() > end:
                    return  # an empty group is small, and goes with the scope
                time.sleep(0.02)


def make_group(limits: Limits) -> Group | None:
    """Return a group for one worker with these limits; None where there can be none, see `cgroup_problem`."""
    if (limits.memory_bytes is None and limits.tasks is None) or cgroup_problem() is not None:
        return None
    group = Group(_base() / f"sr-harness-{secrets.token_hex(6)}")
    try:
        group.path.mkdir()
        if limits.memory_bytes is not None:
            (group.path / "memory.max").write_text(str(limits.memory_bytes))
            (group.path / "memory.oom.group").write_text("1")
        if limits.tasks is not None:
            (group.path / "pids.max").write_text(str(limits.tasks))
    except OSError:
        group.remove()
        return None
    return group


def cgroup_problem() -> str | None:
    """Return why workers cannot have control groups, or None; the first call makes ready what is needed."""
    base = _base()
    offered = kernel_text(base / "cgroup.controllers").split()
    if not set(_CONTROLLERS) <= set(offered):
        return "no control groups (cgroups v2) with memory and pids are at hand"
    if set(_CONTROLLERS) <= set(kernel_text(base / "cgroup.subtree_control").split()):
        return None if os.access(base, os.W_OK) else "the control group belongs to somebody else"
    here = {int(pid) for pid in kernel_text(base / "cgroup.procs").split()}
    if here - set(process_tree(os.getpid())):
        return "the control group holds other processes than the harness"
    try:
        (base / _OURS).mkdir(exist_ok=True)
        for pid in here:
            (base / _OURS / "cgroup.procs").write_text(str(pid))
        (base / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
    except OSError as error:
        return f"the control group cannot be divided ({error.strerror})"
    return None


def _base() -> Path:
    """Return the folder of the group that the harness was started in."""
    lines = [line for line in kernel_text(OWN).splitlines() if line.startswith("0::")]
    if not lines:
        return ROOT
    path = ROOT / lines[0].removeprefix("0::").strip("/")
    return path.parent if path.name == _OURS else path
