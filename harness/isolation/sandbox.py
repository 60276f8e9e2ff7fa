"""Bubblewrap around a worker: it sees the system and its submission, both read-only, and nothing else.

Built from the kernel's namespaces: user, mount, PID, network, IPC, UTS and cgroup. No privileges are needed
where the system lets users create user namespaces.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import UsageError
from harness.isolation.environment import PACKAGE
from harness.submissions.packages import package_folders

Sandbox = Literal["auto", "bwrap", "process", "none"]
Confinement = Literal["bwrap", "process", "none"]

LIBRARY = Path("/harness-library")
SUBMISSION = Path("/submission")
PRIVATE = Path("/tmp")  # noqa: S108  the sandbox's own, not the system's

_SHARED_MEMORY_BYTES = 256 << 20
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime")
_DEVICE_NODES = ("nvidia*", "nvidia-caps", "dri", "kfd")
_DEVICE_FOLDERS = ("/sys", "/opt/rocm", "/etc/OpenCL", "/etc/vulkan")
# Ground truth that ships with the package; a worker has no use for it.
_HIDDEN = ("data/embedded",)


@dataclass(frozen=True, slots=True)
class Choice:
    """How a worker will be confined, and why not better."""

    confinement: Confinement
    reason: str = ""

    def describe(self) -> str:
        """Return what a row of the report says."""
        names = {"bwrap": "bubblewrap", "process": "process with limits", "none": "process without limits"}
        return f"{names[self.confinement]} ({self.reason})" if self.reason else names[self.confinement]


def choose(sandbox: Sandbox) -> Choice:
    """Decide how to confine workers.

    Raises
    ------
    UsageError
        ``bwrap`` is demanded and does not work here.
    """
    if sandbox in {"process", "none"}:
        return Choice("process" if sandbox == "process" else "none")
    problem = bwrap_problem()
    if problem is None:
        return Choice("bwrap")
    if sandbox == "bwrap":
        raise UsageError(
            f"--sandbox bwrap cannot be had: {problem}",
            hint="see `harness doctor`, or run with --sandbox process",
        )
    return Choice("process", f"no sandbox: {problem}")


@functools.cache
def bwrap_problem() -> str | None:
    """Return why bubblewrap does not work on this machine, or None; found out by trying it once."""
    if not sys.platform.startswith("linux"):
        return "bubblewrap needs Linux"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    trial = bwrap_command(
        [sys.executable, "-I", "-c", ""],
        environment={},
        root=PACKAGE,
        inside=SUBMISSION,
        tmp_bytes=1 << 20,
        accelerator=False,
    )
    try:
        done = subprocess.run(trial, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}"
    return None if done.returncode == 0 else f"bubblewrap fails: {done.stderr.strip()[:200] or 'without a message'}"


def bwrap_command(
    worker: Sequence[str],
    *,
    environment: Mapping[str, str],
    root: Path,
    inside: Path,
    python: Path = Path(sys.executable),
    tmp_bytes: int,
    accelerator: bool,
) -> list[str]:
    """Return the command that runs `worker` in a sandbox.

    Parameters
    ----------
    worker
        The worker's own command line.
    environment
        All that it finds in its environment.
    root
        The submission's folder.
    inside
        Where the worker finds it.
    python
        The interpreter, whose environment is brought into view.
    tmp_bytes
        Size of its ``/tmp``.
    accelerator
        Whether it may use the machine's graphics cards.
    """
    prefixes = {Path(sys.prefix), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), python.parent.parent}
    prefixes |= set(package_folders())
    binds = {prefix: prefix for prefix in _without_nested(prefixes) if not prefix.is_relative_to("/usr")}
    binds |= {PACKAGE: LIBRARY / PACKAGE.name, root: inside}
    options = [
        *_namespaces(),
        *_system_binds(),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108
        *(_device_binds() if accelerator else ()),
        *("--remount-ro", "/dev"),
        *("--size", str(tmp_bytes), "--tmpfs", str(PRIVATE)),
        *_read_only(binds),
        *_hidden(binds),
        *("--remount-ro", "/"),
        *("--chdir", str(PRIVATE)),
        "--clearenv",
        *(part for name, value in environment.items() for part in ("--setenv", name, value)),
    ]
    return ["bwrap", *options, "--", *worker]


def place_of(root: Path, *, installed: bool) -> Path:
    """Return where a sandboxed worker finds the submission's folder.

    An installed package keeps its place, because its code imports it by name.
    """
    return root if installed else SUBMISSION


def _namespaces() -> list[str]:
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    options += ["--uid", "65534", "--gid", "65534", "--hostname", "worker", "--cap-drop", "ALL"]
    # Nested user namespaces are where most of the kernel's escapes began.
    return [*options, "--disable-userns"] if "--disable-userns" in _bwrap_help() else options


@functools.cache
def _bwrap_help() -> str:
    try:
        return subprocess.run(["bwrap", "--help"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _system_binds() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    for name in _CONFIGURATION:
        options += ["--ro-bind-try", name, name]
    return options


def _device_binds() -> list[str]:
    nodes = [str(node) for pattern in _DEVICE_NODES for node in sorted(Path("/dev").glob(pattern))]
    options = [part for node in nodes for part in ("--dev-bind", node, node)]
    return options + [part for folder in _DEVICE_FOLDERS for part in ("--ro-bind-try", folder, folder)]


def _read_only(binds: Mapping[Path, Path]) -> list[str]:
    ordered = sorted(binds.items(), key=lambda bind: len(bind[1].parts))  # an outer folder before what is in it
    return [part for source, target in ordered for part in ("--ro-bind", str(source), str(target))]


def _hidden(binds: Mapping[Path, Path]) -> list[str]:
    """Cover ground truth, wherever a bind brings it into view."""
    options: list[str] = []
    for name in _HIDDEN:
        folder = PACKAGE / name
        for source, target in binds.items():
            if folder.is_dir() and folder.is_relative_to(source):
                covered = str(target / folder.relative_to(source))
                options += ["--tmpfs", covered, "--remount-ro", covered]
    return options


def _without_nested(folders: Iterable[Path]) -> list[Path]:
    found = set(folders)
    return sorted(
        folder for folder in found if not any(folder != other and folder.is_relative_to(other) for other in found)
    )
