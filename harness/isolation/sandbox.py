"""Run a worker inside bubblewrap, with a read-only view of the system and of its submission and nothing else.

bubblewrap uses kernel namespaces: user, mount, PID, network, IPC, UTS and cgroup. It needs no privileges if the system
allows unprivileged user namespaces.
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
from harness.isolation.ground_truth import visible_images
from harness.isolation.unprivileged import HARDEN, descent, descent_problem, hardened, is_root
from harness.results.fingerprint import unhashed
from harness.submissions.packages import package_folders

Sandbox = Literal["auto", "bwrap", "process", "none"]
Confinement = Literal["bwrap", "process", "none"]

SUBMISSION = Path("/submission")
PRIVATE = Path("/tmp")  # noqa: S108  a private tmpfs in the sandbox

# Size of /dev/shm in the sandbox.
_SHARED_MEMORY_BYTES = 256 << 20
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime")
# Of NVIDIA's driver, of the kernel's graphics drivers, and of AMD's compute driver.
_DEVICE_NODES = ("nvidia*", "nvidia-caps", "dri", "kfd")
_DEVICE_FOLDERS = ("/sys", "/opt/rocm", "/etc/OpenCL", "/etc/vulkan")  # drivers enumerate devices through /sys
# The administration of the kernel, which bubblewrap protects only if the mode of the folders allows writing, and what
# the kernel knows of other processes and users.
_PROC_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi")
_PROC_EMPTY = ("/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kmsg", "/proc/timer_list", "/proc/sched_debug")


@dataclass(frozen=True, slots=True)
class Choice:
    """The selected isolation, and the reason if it is not the strongest."""

    confinement: Confinement
    reason: str = ""

    def describe(self) -> str:
        """Return the description shown in the report."""
        names = {"bwrap": "bubblewrap", "process": "process with limits", "none": "process without limits"}
        return f"{names[self.confinement]} ({self.reason})" if self.reason else names[self.confinement]


def choose(sandbox: Sandbox) -> Choice:
    """Select the isolation of workers.

    Parameters
    ----------
    sandbox
        Value of ``--sandbox``. ``auto`` falls back to a process with limits if bubblewrap does not work, unless the
        harness runs as root.

    Raises
    ------
    UsageError
        `sandbox` is ``bwrap``, or is ``auto`` and the harness runs as root, and bubblewrap does not work here.
    """
    if sandbox in {"process", "none"}:
        return Choice("process" if sandbox == "process" else "none")
    problem = bwrap_problem()
    if problem is None:
        return Choice("bwrap")
    if sandbox == "bwrap":
        raise UsageError(
            f"--sandbox bwrap is not available: {problem}",
            hint="see `harness doctor`, or run with --sandbox process",
        )
    if is_root():
        raise UsageError(
            f"the harness runs as root and has no sandbox: {problem}",
            hint="make bubblewrap work (harness doctor), run the harness as an ordinary user, or accept weaker "
            "isolation with --sandbox process",
        )
    return Choice("process", f"no sandbox: {problem}")


@functools.cache
def bwrap_problem() -> str | None:
    """Return why bubblewrap does not work on this machine, or None if it works.

    The answer comes from one trial run, because kernels and containers forbid user namespaces in many ways.
    """
    if not sys.platform.startswith("linux"):
        return "bubblewrap needs Linux"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    trial = bwrap_command(
        [sys.executable, "-I", "-c", ""],
        environment={},
        # Any folder can stand for that of a submission.
        root=HARDEN.parent,
        inside=SUBMISSION,
        tmp_bytes=1 << 20,
        accelerator=False,
    )
    user = ""
    if is_root():
        way = descent(HARDEN.parent, Path(sys.executable))
        if way is None:
            return f"workers would run as root: {descent_problem()}"
        trial, user = way.command(trial), " for an unprivileged user"
    try:
        done = subprocess.run(trial, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}"
    if done.returncode == 0:
        return None
    return f"bubblewrap fails{user}: {done.stderr.strip()[:200] or 'no error message'}"


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
    """Return the command that runs `worker` in a sandbox, with the system call filter.

    Parameters
    ----------
    worker
        Command line of the worker.
    environment
        Complete environment of the worker.
    root
        Folder of the submission.
    inside
        Path of that folder inside the sandbox.
    python
        Interpreter; its environment is mounted read-only.
    tmp_bytes
        Size of the private ``/tmp``, bytes.
    accelerator
        Whether to expose the device nodes of GPUs.

    Returns
    -------
    list of str
        Command line. The order of the options matters: bubblewrap applies them one after another, and ``--size`` to the
        next ``--tmpfs``. A directory must be filled before it is remounted read-only and covered after it is mounted.
    """
    # A virtual environment refers to its base interpreter by absolute path, also through symbolic links, so that all
    # of them must exist under their original paths inside the sandbox.
    prefixes = {Path(sys.prefix), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), python.parent.parent}
    prefixes |= set(package_folders())
    binds = {prefix: prefix for prefix in _without_nested(prefixes) if not prefix.is_relative_to("/usr")}
    binds |= {PACKAGE: PACKAGE, root: inside}
    options = [
        *_namespaces(),
        *_system_binds(),
        *("--proc", "/proc", "--dev", "/dev"),
        *_proc_binds(),
        *("--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108
        *(_device_binds() if accelerator else ()),
        *("--remount-ro", "/dev"),
        *("--size", str(tmp_bytes), "--tmpfs", str(PRIVATE)),
        *_read_only(binds),
        *_hidden(binds),
        *_without_unhashed(root, inside),
        *("--remount-ro", "/"),
        *("--chdir", str(PRIVATE)),
        "--clearenv",
        *(part for name, value in environment.items() for part in ("--setenv", name, value)),
    ]
    hardening = hardened(worker, python=Path(sys.executable))
    return [shutil.which("bwrap") or "bwrap", *options, "--", *hardening]


def place_of(root: Path, *, installed: bool) -> Path:
    """Return the path of the submission's folder inside the sandbox.

    An installed package keeps its path, because its code imports it by name from ``sys.path``.
    """
    return root if installed else SUBMISSION


def _namespaces() -> list[str]:
    # --unshare-all alone would silently skip the user namespace if it is not available. --new-session detaches the
    # terminal, into whose input a process could otherwise inject characters (TIOCSTI).
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    # 65534 is "nobody".
    options += ["--uid", "65534", "--gid", "65534", "--hostname", "worker", "--cap-drop", "ALL"]
    # Most known sandbox escapes begin with a nested user namespace. Versions before 0.8 lack the option.
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
        if path.is_symlink():  # merged-/usr distributions: /bin -> usr/bin
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    for name in _CONFIGURATION:
        options += ["--ro-bind-try", name, name]
    return options


def _proc_binds() -> list[str]:
    options = [part for name in _PROC_READ_ONLY for part in ("--ro-bind-try", name, name)]
    empty = [name for name in _PROC_EMPTY if Path(name).exists()]
    return options + [part for name in empty for part in ("--ro-bind", "/dev/null", name)]


def _device_binds() -> list[str]:
    nodes = [str(node) for pattern in _DEVICE_NODES for node in sorted(Path("/dev").glob(pattern))]
    options = [part for node in nodes for part in ("--dev-bind", node, node)]
    return options + [part for folder in _DEVICE_FOLDERS for part in ("--ro-bind-try", folder, folder)]


def _read_only(binds: Mapping[Path, Path]) -> list[str]:
    ordered = sorted(binds.items(), key=lambda bind: len(bind[1].parts))  # a later mount would hide those inside
    return [part for source, target in ordered for part in ("--ro-bind", str(source), str(target))]


def _hidden(binds: Mapping[Path, Path]) -> list[str]:
    """Return options that cover the ground truth with an empty tmpfs at every path where a bind mount exposes it."""
    places = map(str, visible_images({Path("/usr"): Path("/usr"), **binds}))
    return [part for place in places for part in ("--tmpfs", place, "--remount-ro", place)]


def _without_unhashed(root: Path, inside: Path) -> list[str]:
    """Return options that hide what a submission's fingerprint does not cover; see `harness.results.fingerprint`."""
    options: list[str] = []
    for path in unhashed(root):
        target = str(inside / path.name)
        options += ["--tmpfs", target, "--remount-ro", target] if path.is_dir() else ["--ro-bind", "/dev/null", target]
    return options


def _without_nested(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that are not inside another one of them."""
    found = set(folders)
    return sorted(
        folder for folder in found if not any(folder != other and folder.is_relative_to(other) for other in found)
    )
