"""What this machine offers for confining submissions, for ``harness doctor``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.isolation.cgroup import cgroup_problem
from harness.isolation.sandbox import bwrap_problem
from harness.machine.diagnostic import Diagnostic

_USER_NAMESPACES = (
    Path("/proc/sys/kernel/unprivileged_userns_clone"),
    Path("/proc/sys/user/max_user_namespaces"),
)
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def sandbox_report() -> list[Diagnostic]:
    """Return the means of isolation, the strongest first."""
    return [_bubblewrap(), _control_groups(), _task_limit(), _not_root(), _resource_limits()]


def _means(name: str, *, available: bool, advice: str = "") -> Diagnostic:
    """Return whether one means of isolation is available, and how to get it where it is not."""
    return Diagnostic(name, "available" if available else "not available", "ok" if available else "missing", advice)


def _bubblewrap() -> Diagnostic:
    problem = bwrap_problem()
    if problem is None:
        return _means("bubblewrap sandbox", available=True)
    return _means("bubblewrap sandbox", available=False, advice=f"{problem}; {_how_to_get_bubblewrap(problem)}")


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
    return "in a container, allow user namespaces (for Docker: --security-opt seccomp=unconfined --cap-add SYS_ADMIN)"


def _control_groups() -> Diagnostic:
    problem = cgroup_problem()
    if problem is None:
        return _means("control group of each worker", available=True)
    advice = f"{problem}; start with: systemd-run --user --scope -p Delegate=yes harness run ..."
    return _means("control group of each worker", available=False, advice=advice)


def _task_limit() -> Diagnostic:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        advice = "root is exempt from the kernel's limit; a watcher still kills above it. Run as an ordinary user"
        return _means("process limit by the kernel", available=False, advice=advice)
    available = bwrap_problem() is None
    return _means(
        "process limit by the kernel", available=available, advice="" if available else "needs the bubblewrap sandbox"
    )


def _not_root() -> Diagnostic:
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return _means(
        "harness runs without privileges",
        available=not root,
        advice="run the harness as an ordinary user" if root else "",
    )


def _resource_limits() -> Diagnostic:
    linux = sys.platform.startswith("linux")
    return _means(
        "limits on memory and files", available=linux, advice="" if linux else "RLIMIT_DATA binds on Linux only"
    )


def _reads(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _sysctl(path: Path, value: int) -> str:
    return f"sysctl {'.'.join(path.parts[3:])}={value}"
