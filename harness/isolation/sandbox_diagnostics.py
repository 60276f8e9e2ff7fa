"""Report which isolation mechanisms this machine supports, for ``harness doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.isolation.cgroup import cgroup_problem
from harness.isolation.sandbox import bwrap_problem
from harness.isolation.syscall_filter import filter_program
from harness.isolation.unprivileged import descent_problem, is_root
from harness.machine.diagnostic import Diagnostic

_USER_NAMESPACES = (
    Path("/proc/sys/kernel/unprivileged_userns_clone"),
    Path("/proc/sys/user/max_user_namespaces"),
)
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def sandbox_diagnostics() -> list[Diagnostic]:
    """Return the state of each isolation mechanism, the strongest first."""
    return [_bubblewrap(), _control_groups(), _task_limit(), _not_root(), _system_call_filter(), _resource_limits()]


def _mechanism(name: str, *, available: bool, hint: str = "") -> Diagnostic:
    """Return whether one mechanism is available, with a hint how to enable it if not."""
    return Diagnostic(name, "available" if available else "not available", "ok" if available else "missing", hint)


def _bubblewrap() -> Diagnostic:
    problem = bwrap_problem()
    if problem is None:
        return _mechanism("bubblewrap sandbox", available=True)
    return _mechanism("bubblewrap sandbox", available=False, hint=f"{problem}; {_how_to_get_bubblewrap(problem)}")


def _how_to_get_bubblewrap(problem: str) -> str:
    if not sys.platform.startswith("linux"):
        return "run the harness on Linux, or in a Linux virtual machine"
    if "not installed" in problem:
        return "install it: apt install bubblewrap, dnf install bubblewrap, pacman -S bubblewrap"
    if _reads(_APPARMOR) == "1":
        return "AppArmor forbids user namespaces: install its profile for bwrap, or set " + _sysctl(_APPARMOR, 0)
    for setting in _USER_NAMESPACES:
        if _reads(setting) == "0":
            return (
                f"the kernel forbids user namespaces: set {_sysctl(setting, 1 if 'clone' in setting.name else 15000)}"
            )
    # None of the kernel's settings forbids it, so the seccomp filter of a container probably does.
    return "in a container, allow user namespaces (for Docker: --security-opt seccomp=unconfined --cap-add SYS_ADMIN)"


def _control_groups() -> Diagnostic:
    problem = cgroup_problem()
    if problem is None:
        return _mechanism("control group of each worker", available=True)
    hint = f"{problem}; start with: systemd-run --user --scope -p Delegate=yes harness run ..."
    return _mechanism("control group of each worker", available=False, hint=hint)


def _task_limit() -> Diagnostic:
    # The limit on tasks is set only for workers with a user or user namespace of their own, see `apply_in_worker`.
    available = descent_problem() is None if is_root() else bwrap_problem() is None
    hint = "" if available else "needs the bubblewrap sandbox, or root that can change to other users"
    return _mechanism("process limit by the kernel", available=available, hint=hint)


def _not_root() -> Diagnostic:
    problem = descent_problem()
    hint = "" if problem is None else f"{problem}; run the harness as an ordinary user"
    return _mechanism("workers run without privileges", available=problem is None, hint=hint)


def _system_call_filter() -> Diagnostic:
    available = filter_program() is not None
    hint = "" if available else "the filter knows Linux on x86_64 and aarch64 only"
    return _mechanism("filter of system calls", available=available, hint=hint)


def _resource_limits() -> Diagnostic:
    linux = sys.platform.startswith("linux")
    return _mechanism(
        "limits on memory and files", available=linux, hint="" if linux else "RLIMIT_DATA is enforced on Linux only"
    )


def _reads(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _sysctl(path: Path, value: int) -> str:
    return f"sysctl {'.'.join(path.parts[3:])}={value}"
