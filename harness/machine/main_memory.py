"""How much main memory there is: that of the machine, or what the control groups of this process leave of it.

In a container the system reports the memory of its host. A process that exceeds the limit of its group is killed long
before that is used up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from harness.machine.cores import kernel_text

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux describes control groups."""
MEMBERSHIP = Path("/proc/self/cgroup")
"""In which groups this process is."""

# Names of the files in both versions of control groups: the limit and the memory in use.
_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
# Pages of files, which the kernel takes back before it kills; in version 1 those of all groups inside have other names.
_CACHE_KEYS = (("inactive_file", "active_file"), ("total_inactive_file", "total_active_file"))


def total_bytes(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the main memory that this process and its descendants may use, bytes.

    Parameters
    ----------
    groups, membership
        Describe the control groups, as ``/sys/fs/cgroup`` and ``/proc/self/cgroup`` do.
    """
    return min([psutil.virtual_memory().total, *(limit for _, limit, _ in _limits(groups, membership))])


def available_bytes(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the main memory that this process and its descendants may use in addition, bytes, at least 0.

    Parameters
    ----------
    groups, membership
        As for :func:`total_bytes`.
    """
    left = [max(0, limit - used + _cached(folder)) for folder, limit, used in _limits(groups, membership)]
    return min([psutil.virtual_memory().available, *left])


def _limits(groups: Path, membership: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield the folder, the limit and the use of memory of each group of this process that has a limit."""
    for folder in _folders(groups, membership):
        for limit_file, use_file in _FILES:
            limit, used = kernel_text(folder / limit_file), kernel_text(folder / use_file)
            if limit.isdigit() and used.isdigit():  # "max" for no limit
                yield folder, int(limit), int(used)


def _folders(groups: Path, membership: Path) -> Iterator[Path]:
    """Yield the folder of each group of this process that may limit memory, with those that contain it."""
    for line in kernel_text(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            root = groups  # version 2
        elif "memory" in controllers.split(","):
            root = groups / "memory"
        else:
            continue
        # In a container the path may be that of the host, whose folders are not there; the container's is the root.
        inner = root / path.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root))


def _cached(folder: Path) -> int:
    """Return how much of a group's memory the kernel takes back before it kills one of its processes, bytes."""
    counts = dict(line.split() for line in kernel_text(folder / "memory.stat").splitlines() if len(line.split()) == 2)
    return max(sum(int(counts.get(key, 0)) for key in keys) for keys in _CACHE_KEYS)
