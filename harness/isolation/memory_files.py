"""Memory of a process tree that is in files instead of processes: memory files (memfd) and private folders.

The resident size of a process contains only what it maps, but neither a memory file that it wrote nor files of a tmpfs.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
_PRIVATE = ("tmp", "dev/shm")
_BLOCK = 512  # unit of st_blocks
# Header of a mapping in /proc/PID/smaps: addresses, permissions, offset, device, inode.
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) (\d+)")

FileId = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class MemoryFiles:
    """What a process tree keeps in memory files and in its private folders.

    Attributes
    ----------
    sizes
        Allocated bytes of each open memory file.
    folders
        Allocated bytes of each private file system, by device.
    count
        Number of files in the private file systems.
    """

    sizes: dict[FileId, int] = field(default_factory=dict)
    folders: dict[int, int] = field(default_factory=dict)
    count: int = 0

    @property
    def total_bytes(self) -> int:
        """Allocated bytes of all files."""
        return sum(self.sizes.values()) + sum(self.folders.values())


def memory_files(pids: list[int]) -> MemoryFiles:
    """Return the memory files that processes have open, and the content of the private folders that they see."""
    found = MemoryFiles()
    seen: set[Path] = set()
    for pid in pids:
        # The process may have ended, or may forbid others to look at it.
        with contextlib.suppress(OSError):
            _add_open(_PROC / str(pid) / "fd", found.sizes)
        with contextlib.suppress(OSError):
            _add_folders(pid, found, seen)
    return found


def total_memory(pids: list[int], files: MemoryFiles) -> int:
    """Return the memory of processes and files in bytes, each page counted once. Takes milliseconds per process."""
    memory = files.total_bytes
    for pid in pids:
        with contextlib.suppress(OSError):
            memory += _mapped_elsewhere((_PROC / str(pid) / "smaps").read_text(errors="replace"), files)
    return memory


def _add_open(folder: Path, sizes: dict[FileId, int]) -> None:
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            # The name is read first: the status of a file on a network could take long.
            if str(Path(entry.path).readlink()).startswith("/memfd:"):
                status = Path(entry.path).stat()
                # Allocated blocks instead of st_size, because a memory file may be sparse.
                sizes[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK


def _add_folders(pid: int, found: MemoryFiles, seen: set[Path]) -> None:
    namespace = (_PROC / str(pid) / "ns" / "mnt").readlink()
    # A worker in the controller's namespace has no private folders; those of the machine are not its own.
    if namespace in seen or namespace == (_PROC / "self" / "ns" / "mnt").readlink():
        return
    for name in _PRIVATE:
        path = _PROC / str(pid) / "root" / name
        device = path.stat().st_dev
        if device == Path("/", name).stat().st_dev:  # a sandbox that is being set up still has the machine's folders
            return
        if device not in found.folders:
            status = os.statvfs(path)
            found.folders[device] = (status.f_blocks - status.f_bfree) * status.f_frsize
            found.count += status.f_files - status.f_ffree
    seen.add(namespace)


def _mapped_elsewhere(text: str, files: MemoryFiles) -> int:
    """Return the proportional memory in ``/proc/PID/smaps``, bytes, without mappings of files counted elsewhere."""
    memory, counts = 0, True
    for line in text.splitlines():
        if mapping := _MAPPING.match(line):
            counts = not _is_counted(mapping, files.sizes, files.folders)
        elif counts and line.startswith("Pss:"):
            # smaps counts in KiB. Pss divides a shared page by the number of processes that map it.
            memory += int(line.split()[1]) << 10
    return memory


def _is_counted(mapping: re.Match[str], sizes: Mapping[FileId, int], folders: Mapping[int, int]) -> bool:
    device = os.makedev(int(mapping[1], 16), int(mapping[2], 16))
    return device in folders or (device, int(mapping[3])) in sizes
