"""Become an unprivileged user, who sees only what a worker needs, and execute a command.

A program of its own that needs the standard library only and is started by root: ``python -I -S descend.py SETTINGS
COMMAND...``. A worker needs folders that only root can reach, for example Python in root's home folder. They are mounted at
their own paths in a private mount namespace, and the folders around them are replaced by empty ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

FAILED = 125
"""Exit status if the command was not started."""

# linux/sched.h, linux/mount.h, linux/prctl.h
_CLONE_NEWNS = 0x00020000
_CLONE_NEWIPC = 0x08000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

_LIBC = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> NoReturn:
    """Execute ``arguments[1:]`` with the settings in ``arguments[0]``, JSON.

    The settings are the fields of ``harness.isolation.unprivileged.Descent``.
    """
    settings, command = json.loads(arguments[0]), arguments[1:]
    try:
        if settings["mounts"]:
            _enter_namespaces()
            _arrange(settings)
        _drop_privileges(settings["user"], settings["groups"])
        if settings["folder"]:
            os.chdir(settings["folder"])
        os.execv(command[0], command)
    except OSError as error:
        print(f"harness: the worker cannot run as user {settings['user']}: {error}", file=sys.stderr)
        raise SystemExit(FAILED) from None


def _enter_namespaces() -> None:
    # The IPC namespace ends with its last process, and with it all shared memory and message queues of System V and POSIX.
    _check(_LIBC.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def _arrange(settings: dict[str, Any]) -> None:
    """Make the visible folders reachable, and replace the folders that all users may write."""
    real_names = {name: os.path.realpath(name) for name in settings["visible"]}
    # Opened before anything is covered, and after the namespace was entered: only its own mounts can be mounted again.
    opened = {folder: os.open(folder, os.O_PATH | os.O_CLOEXEC) for folder in real_names.values()}
    copied = [folder for folder in _resolved(settings["copied"]) if not _readable_by_others(folder)]
    writable = [folder for folder in _resolved(settings["writable"]) if os.path.isdir(folder)]
    covers = _outermost({*_closed(opened), *writable} - set(opened))
    limits = f"size={settings['bytes']},nr_inodes={settings['files']}"
    for cover in covers:
        _mount_memory(cover, f"mode={'1777' if cover in writable else '755'},{limits}")
    for folder, descriptor in sorted(opened.items(), key=lambda item: len(item[0])):
        if folder in copied:
            os.makedirs(folder, exist_ok=True)
            _copy(f"/proc/self/fd/{descriptor}", folder, settings["copied_bytes"])
        elif any(Path(folder).is_relative_to(cover) for cover in covers):
            os.makedirs(folder, exist_ok=True)
            _mount(f"/proc/self/fd/{descriptor}", folder, None, _MS_BIND | _MS_REC)
    for name in settings["visible"]:
        if not os.path.exists(name):  # a symbolic link to one of them, in a folder that is covered
            os.makedirs(os.path.dirname(name), exist_ok=True)
            os.symlink(real_names[name], name)
    for folder in settings["hidden"]:
        _mount_memory(folder, "mode=755,size=4096")
    if settings["folder"]:
        _make_private(settings["folder"], settings["user"], limits, covers)
    for cover in covers:
        if cover not in writable:
            _make_read_only(cover)


def _make_private(folder: str, user: int, limits: str, covers: list[str]) -> None:
    """Make an empty folder that belongs to the user."""
    if any(Path(folder).is_relative_to(cover) for cover in covers):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.chown(folder, user, user)
    else:
        _mount_memory(folder, f"uid={user},gid={user},mode=700,{limits}")


def _resolved(folders: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(os.path.realpath(folder) for folder in folders))


def _outermost(folders: set[str]) -> list[str]:
    return sorted(one for one in folders if not any(one != up and Path(one).is_relative_to(up) for up in folders))


def _closed(folders: Iterable[str]) -> set[str]:
    """Return the outermost folder above each of `folders` that other users cannot pass through."""
    found = set()
    for folder in folders:
        for parent in reversed(Path(folder).parents):
            if not parent.stat().st_mode & stat.S_IXOTH:
                found.add(str(parent))
                break
    return found


def _readable_by_others(folder: str) -> bool:
    """Return whether other users can read all files below `folder`."""
    if os.stat(folder).st_mode & 0o005 != 0o005:
        return False
    for parent, folders, files in os.walk(folder):
        for names, needed in ((folders, 0o005), (files, 0o004)):
            if any(os.lstat(os.path.join(parent, name)).st_mode & needed != needed for name in names):
                return False
    return True


def _copy(source: str, folder: str, limit: int) -> None:
    """Copy a folder that other users cannot read into memory, at most `limit` bytes, and make the copy readable."""
    _mount_memory(folder, f"mode=755,size={limit}")
    for parent, folders, files in os.walk(source):
        target = os.path.join(folder, os.path.relpath(parent, source))
        for name in (*folders, *files):
            _copy_one(os.path.join(parent, name), os.path.join(target, name))
    _make_read_only(folder)


def _copy_one(source: str, target: str) -> None:
    mode = os.lstat(source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISDIR(mode):
        os.mkdir(target, 0o755)
    elif stat.S_ISREG(mode):  # neither pipes nor devices
        shutil.copyfile(source, target, follow_symlinks=False)
        os.chmod(target, 0o644 | (mode & 0o111))


def _drop_privileges(user: int, groups: list[int]) -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    os.setgroups(groups)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)  # from root to another user: the kernel clears all capabilities


def _mount_memory(target: str, options: str) -> None:
    """Mount an empty file system in memory."""
    _mount("tmpfs", target, options, _MS_NOSUID | _MS_NODEV, "tmpfs")


def _make_read_only(target: str) -> None:
    _mount(None, target, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _mount(source: str | None, target: str, data: str | None, flags: int, kind: str | None = None) -> None:
    parts = [None if part is None else os.fsencode(part) for part in (source, target, kind)]
    done = _LIBC.mount(*parts, ctypes.c_ulong(flags), None if data is None else data.encode())
    _check(done, f"mount at {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(sys.argv[1:])
