"""Run workers as an unprivileged user of their own if the harness runs as root, and filter their system calls.

Each worker of a harness that runs as root gets a user id that nothing else uses. It therefore owns no file outside of
its own folders, has no capabilities, shares no kernel keys with other workers, and everything it started can be found
by its user id. Root of a container that has no second user id, or may not change to it, cannot do that: see
:func:`descent_problem`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from harness.isolation.environment import PACKAGE
from harness.isolation.limits import Limits
from harness.isolation.syscall_filter import filter_program
from harness.submissions.packages import package_folders

DESCEND, HARDEN = (Path(__file__).with_name(name) for name in ("descend.py", "harden.py"))

GROUND_TRUTH = ("data/embedded",)
"""Folders of the package that a submission must not read, because it could return their content as its output."""

# Ids that no distribution assigns, see systemd's "Users, Groups, UIDs and GIDs"; the second range is that of its
# dynamic users, for containers with 65,536 ids.
_USER_RANGES = (range(0x70000000, 0x7FFFFFF0), range(61184, 65520))
_WRITABLE = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  replaced by private folders
_COPIED_BYTES = 4 << 30
# Distributions give these devices to groups such as render and video.
_GROUP_DEVICES = ("/dev/kfd", "/dev/dri")
_ISOLATED = ("-I", "-S")  # Python without environment variables, user's packages and .pth files


@dataclass(frozen=True, slots=True)
class Descent:
    """How a process that root starts becomes an unprivileged one; the fields are the settings of ``descend.py``.

    Attributes
    ----------
    user
        User and group id.
    mounts
        Whether a private mount and IPC namespace is possible. Without it, the other fields have no effect.
    visible
        Folders that must be reachable at their own paths.
    copied
        Those of them that are replaced by a readable copy if the user cannot read all of their files.
    hidden
        Folders that are replaced by empty ones.
    folder
        Working folder, which the user owns, with the size of `bytes` and `files`; empty for none.
    writable
        Folders that are replaced by private ones of the same size.
    bytes, files
        Size and number of files of each private folder.
    copied_bytes
        Largest total size of a copy.
    groups
        Supplementary groups.
    """

    user: int
    mounts: bool = True
    visible: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    folder: str = ""
    writable: tuple[str, ...] = ()
    bytes: int = 1 << 30
    files: int = 50_000
    copied_bytes: int = _COPIED_BYTES
    groups: tuple[int, ...] = field(default=())

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command that executes `command`, an absolute path with arguments, as this user."""
        return [sys.executable, *_ISOLATED, str(DESCEND), json.dumps(asdict(self)), *command]

    def with_folder(self, folder: Path, limits: Limits) -> Descent:
        """Return the same with a working folder, private temporary folders, and without the package's ground truth."""
        return replace(
            self,
            folder=str(folder),
            writable=_WRITABLE,
            hidden=tuple(str(PACKAGE / name) for name in GROUND_TRUTH if (PACKAGE / name).is_dir()),
            bytes=limits.tmp_bytes,
            files=self.files if limits.tmp_files is None else limits.tmp_files,
        )


def hardened(command: Sequence[str], *, python: Path, parent: int | None = None) -> list[str]:
    """Return the command that installs the system call filter and executes `command`.

    Parameters
    ----------
    command
        Absolute path of a program, and its arguments.
    python
        Interpreter that installs the filter.
    parent
        Process id of the controller if a process is to stay as the parent of `command`, to end with the controller and
        to kill what `command` leaves behind; None where a PID namespace does so.
    """
    program = filter_program()
    settings = {"filter": None if program is None else program.hex(), "parent": parent}
    return [str(python), *_ISOLATED, str(HARDEN), json.dumps(settings), *command]


def is_root() -> bool:
    """Return whether this process runs as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def new_user() -> int | None:
    """Return a user id that no process has; None if this process is not root or there is no such id."""
    if not is_root():
        return None
    taken = _users()
    for ids in _USER_RANGES:
        if all(_is_mapped(ids, Path(f"/proc/self/{kind}_map")) for kind in ("uid", "gid")):
            # Random, so that two controllers that choose at the same moment are unlikely to take the same id.
            return random.choice([user for user in random.sample(ids, 64) if user not in taken])  # noqa: S311
    return None


def visible_folders(python: Path, root: Path) -> tuple[str, ...]:
    """Return the folders that a worker needs: of Python, packages, the harness, the submission and bubblewrap."""
    base, program = Path(sys.base_prefix), Path(shutil.which("bwrap") or "/usr/bin/bwrap")
    folders = [Path(sys.prefix), base, python.parent.parent, python.resolve().parent.parent, *package_folders()]
    folders.append(program.parent)
    return tuple(dict.fromkeys(str(folder) for folder in [*folders, PACKAGE, root] if folder.is_dir()))


def descent(root: Path, python: Path, *, accelerator: bool = False) -> Descent | None:
    """Return how a worker becomes unprivileged; None if the harness is not root or it is impossible."""
    user = new_user()
    if user is None or descent_problem() is not None:
        return None
    groups = tuple(sorted(_device_groups())) if accelerator else ()
    return Descent(
        user,
        mounts=private_folders_problem() is None,
        visible=visible_folders(python, root),
        copied=(str(root),),
        groups=groups,
    )


@functools.cache
def descent_problem() -> str | None:
    """Return why a harness that runs as root cannot run workers as another user; None if it can or is not root."""
    if not is_root():
        return None
    user = new_user()
    if user is None:
        return "the container has no second user id"
    problem = private_folders_problem()
    if problem is None:
        return None
    # Without private mounts, it works only if all users can reach Python and the harness.
    return None if _trial(Descent(user, mounts=False)) is None else problem


@functools.cache
def private_folders_problem() -> str | None:
    """Return why a worker of root cannot have a mount namespace of its own, or None if it can."""
    user = new_user()
    if user is None:
        return "there is no other user id"
    return _trial(Descent(user, visible=visible_folders(Path(sys.executable), PACKAGE)))


def _trial(way: Descent) -> str | None:
    """Return why a process that imports the harness does not start in this way, or None if it does."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import harness, numpy"
    command = way.command([sys.executable, "-I", "-c", code])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    reason = (done.stderr.strip().splitlines() or ["no error message"])[-1].removeprefix("harness: ")
    return None if done.returncode == 0 else reason[:300]


def remove_user(user: int) -> None:
    """Kill all processes of a user that only one worker has had, and delete what it left in folders that all share."""
    # The kernel signals all of them at once (kill -1), so that none can fork in between.
    become = f"import os; os.setresgid(*[{user}] * 3); os.setresuid(*[{user}] * 3)"
    # The user id is checked first, because kill(-1) as root would signal every process of the machine.
    command = [sys.executable, *_ISOLATED, "-c", f"{become}; os.getuid() == {user} and os.kill(-1, 9)"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, capture_output=True, timeout=60, check=False)
    for folder in _WRITABLE:
        for path in Path(folder).iterdir() if Path(folder).is_dir() else ():
            with contextlib.suppress(OSError):
                if path.lstat().st_uid == user:
                    shutil.rmtree(path) if stat.S_ISDIR(path.lstat().st_mode) else path.unlink()


def _is_mapped(ids: range, path: Path) -> bool:
    """Return whether a range of ids exists in this user namespace; its table has first inside, first outside, count."""
    try:
        rows = [[int(word) for word in line.split()] for line in path.read_text().splitlines()]
    except OSError:
        return False
    return any(first <= ids[0] and ids[-1] < first + count for first, _outside, count in rows)


def _users() -> set[int]:
    found = set()
    for entry in os.scandir("/proc"):
        try:
            found.add(entry.stat().st_uid)
        except OSError:  # the process has ended
            continue
    return found


def _device_groups() -> Iterable[int]:
    """Return the groups, other than root's, that may open the devices of accelerators."""
    nodes = [Path(name) for name in _GROUP_DEVICES]
    nodes += [node for folder in nodes if folder.is_dir() for node in folder.iterdir()]
    return {node.stat().st_gid for node in nodes if node.exists() and not node.is_dir()} - {0}
