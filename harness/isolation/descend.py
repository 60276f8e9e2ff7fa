"""Become an unprivileged user, who sees only what a worker needs, and execute a command.

A program of its own that needs the standard library only and is started by root, as ``python -I -S descend.py SETTINGS
COMMAND...``. A worker needs folders that only root can reach, for example Python in root's home folder. They are
mounted at their own paths in a private mount namespace, and the folders around them are replaced by empty ones.
"""

from __future__ import annotations

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
_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000
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
            enter_namespaces()
            arrange(settings)
        drop_privileges(settings["user"], settings["groups"])
        if settings["folder"]:
            # The inherited working directory is now covered by a mount; enter the visible folder at its path.
            os.chdir(settings["folder"])
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"harness: the worker cannot run as user {settings['user']}: {error}\n")
        raise SystemExit(FAILED) from None


def enter_namespaces() -> None:
    """Enter a mount and an IPC namespace of this process only."""
    # The IPC namespace ends with its last process, and with it all objects of System V and POSIX message queues.
    check(_LIBC.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
    # A new namespace keeps the propagation of the old one: mounts below a shared root would appear outside as well.
    _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)


def arrange(settings: dict[str, Any]) -> None:
    """Make the visible folders reachable, and replace the folders that all users may write."""
    places = {Path(name): Path(name).resolve() for name in settings["visible"]}
    # Opened before anything is covered, and after the namespace was entered: only its own mounts can be mounted again.
    opened = {place: os.open(place, os.O_PATH | os.O_CLOEXEC) for place in places.values()}
    copied = [place for name in settings["copied"] if not _readable_by_others(place := Path(name).resolve())]
    writable = [place for name in settings["writable"] if (place := Path(name).resolve()).is_dir()]
    covers = _outermost({*_closed(opened), *writable} - set(opened))
    limits = f"size={settings['bytes']},nr_inodes={settings['files']}"
    for cover in covers:
        _mount_memory(cover, f"mode={'1777' if cover in writable else '755'},{limits}")
    # Outer folders first: a mount on a folder hides what was mounted below it before.
    for place, descriptor in sorted(opened.items(), key=lambda item: len(item[0].parts)):
        if place in copied:
            _copy(Path(f"/proc/self/fd/{descriptor}"), place, settings["copied_bytes"])
        elif _is_below(place, covers):
            _mount_again(descriptor, place)
    _restore_links(places)
    for name in settings["hidden"]:
        # One page is the smallest size of a tmpfs. The folder stays empty.
        _mount_memory(Path(name), "mode=755,size=4096")
    if settings["folder"]:
        _make_private(Path(settings["folder"]), settings["user"], limits, covers)
    for cover in set(covers) - set(writable):
        _make_read_only(cover)


def _restore_links(places: dict[Path, Path]) -> None:
    """Make the symbolic links to visible folders again that were in covered ones."""
    for name, place in places.items():
        if not name.exists():
            name.parent.mkdir(parents=True, exist_ok=True)
            name.symlink_to(place)


def _make_private(folder: Path, user: int, limits: str, covers: list[Path]) -> None:
    """Make an empty folder that belongs to the user."""
    if _is_below(folder, covers):
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        os.chown(folder, user, user)
    else:
        _mount_memory(folder, f"uid={user},gid={user},mode=700,{limits}")


def _is_below(folder: Path, covers: Iterable[Path]) -> bool:
    return any(folder.is_relative_to(cover) for cover in covers)


def _outermost(folders: set[Path]) -> list[Path]:
    return sorted(one for one in folders if not _is_below(one, folders - {one}))


def _closed(folders: Iterable[Path]) -> set[Path]:
    """Return the outermost folder above each of `folders` that other users cannot pass through."""
    found = set()
    for folder in folders:
        for parent in reversed(folder.parents):
            if not parent.stat().st_mode & stat.S_IXOTH:
                found.add(parent)
                break
    return found


def _readable_by_others(folder: Path) -> bool:
    """Return whether other users can read all files below `folder`."""
    # Others need r and x to list and enter a folder, and r to read a file.
    if folder.stat().st_mode & 0o005 != 0o005:
        return False
    for parent, folders, files in os.walk(folder):
        for names, needed in ((folders, 0o005), (files, 0o004)):
            if any(Path(parent, name).lstat().st_mode & needed != needed for name in names):
                return False
    return True


def _copy(source: Path, folder: Path, limit: int) -> None:
    """Copy a folder that other users cannot read into memory, at most `limit` bytes, and make the copy readable."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount_memory(folder, f"mode=755,size={limit}")
    for parent, folders, files in os.walk(source):
        target = folder / Path(parent).relative_to(source)
        for name in (*folders, *files):
            _copy_one(Path(parent, name), target / name)
    _make_read_only(folder)


def _copy_one(source: Path, target: Path) -> None:
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISDIR(mode):
        target.mkdir(0o755)
    elif stat.S_ISREG(mode):  # neither pipes nor devices
        shutil.copyfile(source, target, follow_symlinks=False)
        target.chmod(0o644 | (mode & 0o111))


def drop_privileges(user: int, groups: list[int]) -> None:
    """Become an unprivileged user for good."""
    # The order matters: capabilities and groups can only be changed while this process is root.
    drop_bounding_set()
    os.setgroups(groups)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)  # from root to another user: the kernel clears all capabilities


def drop_bounding_set() -> None:
    """Drop the capabilities that this process and its descendants could gain."""
    # The number of capabilities differs between kernels.
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def _mount_memory(target: Path, options: str) -> None:
    """Mount an empty file system in memory."""
    _mount("tmpfs", target, options, _MS_NOSUID | _MS_NODEV)


def _mount_again(descriptor: int, target: Path) -> None:
    """Mount an open folder at its own path."""
    target.mkdir(parents=True, exist_ok=True)
    _mount(f"/proc/self/fd/{descriptor}", target, None, _MS_BIND | _MS_REC)


def _make_read_only(target: Path) -> None:
    # A remount replaces all flags of the mount, so nosuid and nodev are repeated.
    _mount(None, target, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _mount(source: str | None, target: Path, options: str | None, flags: int) -> None:
    what, kind = (None if source is None else source.encode(), b"tmpfs" if source == "tmpfs" else None)
    data = None if options is None else options.encode()
    check(_LIBC.mount(what, os.fsencode(target), kind, ctypes.c_ulong(flags), data), f"mount at {target}")


def check(result: int, what: str) -> None:
    """Raise OSError if a function of the C library failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
