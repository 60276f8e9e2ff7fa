"""List and read files of untrusted folders: plain files only, within limits of number, size, depth and time."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import SubmissionError

MIB = 2**20
# Opening a pipe would wait for a writer otherwise. Windows has neither flag.
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
MAX_BYTES = 4096 * MIB
DESCRIBE_S = 60.0
"""Seconds that reading the description of a submission may take, and again its fingerprint."""


@dataclass(frozen=True, slots=True)
class FolderLimits:
    """Limits of a submission's folder. The defaults suffice for a cloned repository with its checkpoints."""

    files: int = 20_000
    """Number of files, folders and links."""
    depth: int = 32
    """Number of nested folders."""
    name_bytes: int = 4 * MIB
    """Total length of the relative paths."""
    total_bytes: int = MAX_BYTES
    """Total size of the files, as they report it: a sparse file counts with its holes."""


class Deadline:
    """Time limit for everything that is read of one submission.

    Parameters
    ----------
    seconds
        Limit from now on.
    clock
        Seconds of a monotonic clock.
    """

    def __init__(self, seconds: float = DESCRIBE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def check(self, where: Path) -> None:
        """Raise SubmissionError if the time has passed."""
        if self._clock() >= self._end:
            raise SubmissionError(
                f"reading it takes longer than {self._seconds:g} s",
                where=str(where),
                hint="leave out files that the network does not need",
            )


@dataclass(slots=True)
class Survey:
    """What a folder contains.

    Attributes
    ----------
    root
        The folder.
    files
        Plain files, and links to plain files inside the folder, sorted by path.
    links
        Links to folders inside the folder, with their targets. They are not followed.
    skipped
        Relative paths of pipes, sockets, devices and broken links.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    links: list[tuple[Path, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def note(self) -> str | None:
        """Return a remark for the row on what was skipped; None if nothing was."""
        if not self.skipped:
            return None
        shown, rest = sorted(self.skipped)[:3], len(self.skipped) - 3
        more = f" and {rest} more" if rest > 0 else ""
        return f"skipped what is not a plain file: {', '.join(map(ascii, shown))}{more}"


def survey(
    root: Path,
    limits: FolderLimits | None = None,
    deadline: Deadline | None = None,
    *,
    ignored: Callable[[str, str], bool] = lambda _name, _relative: False,
    links_may_leave: bool = False,
) -> Survey:
    """List the files below a folder.

    Parameters
    ----------
    root
        The folder.
    limits
        Limits on number, depth, names and size.
    deadline
        Limit on time.
    ignored
        Predicate on the name and the relative path of a file or folder that is neither listed nor entered.
    links_may_leave
        Whether files may be links to files elsewhere, as in some installations of packages.

    Raises
    ------
    SubmissionError
        A limit is exceeded, or a link leaves the folder.
    OSError
        A folder cannot be read.
    """
    limits, deadline = limits or FolderLimits(), deadline or Deadline()
    # Files are reported below the folder as it was given, and read below its real path.
    found, tally, root = Survey(root), _Tally(root, limits), root.resolve()
    for entry, relative, depth in _entries(root, ignored):
        deadline.check(root)
        tally.count(relative, depth)
        if entry.is_symlink():
            _add_link(found, root, relative, links_may_leave=links_may_leave)
        elif entry.is_file(follow_symlinks=False):
            found.files.append(found.root / relative)
            tally.add_bytes(entry.stat(follow_symlinks=False).st_size)
        elif not entry.is_dir(follow_symlinks=False):
            found.skipped.append(relative)
    found.files.sort()
    found.links.sort()
    return found


def _entries(root: Path, ignored: Callable[[str, str], bool]) -> Iterator[tuple[os.DirEntry[str], str, int]]:
    """Yield what is below a folder with its relative path and its depth, folders before their contents."""
    # A stack in place of a recursion, whose depth an untrusted folder could exhaust.
    waiting = [("", 0)]
    while waiting:
        folder, depth = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                relative = f"{folder}/{entry.name}" if folder else entry.name
                if ignored(entry.name, relative):
                    continue
                yield entry, relative, depth + 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((relative, depth + 1))


@dataclass(slots=True)
class _Tally:
    """Counts what was found, and raises SubmissionError at the first limit."""

    root: Path
    limits: FolderLimits
    number: int = 0
    names: int = 0
    size: int = 0

    def count(self, relative: str, depth: int) -> None:
        self.number += 1
        self.names += len(os.fsencode(relative))
        if self.number > self.limits.files:
            raise self._error(f"contains more than {self.limits.files} files and folders")
        if depth > self.limits.depth:
            raise self._error(f"contains folders nested more than {self.limits.depth} deep")
        if self.names > self.limits.name_bytes:
            raise self._error(f"contains names of more than {self.limits.name_bytes // MIB} MiB")

    def add_bytes(self, size: int) -> None:
        self.size += size
        if self.size > self.limits.total_bytes:
            limit = self.limits.total_bytes // MIB
            raise self._error(f"contains more than {limit} MiB in plain files, holes of sparse files included")

    def _error(self, what: str) -> SubmissionError:
        return SubmissionError(what, where=str(self.root), hint="leave out files that the network does not need")


def _add_link(found: Survey, root: Path, relative: str, *, links_may_leave: bool) -> None:
    link = root / relative
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # a broken link, or links in a circle
        found.skipped.append(relative)
        return
    if not target.is_relative_to(root) and not links_may_leave:
        raise SubmissionError(
            f"{relative!a} links out of the folder", where=str(root), hint="copy the file into the folder"
        )
    if target.is_file():
        found.files.append(found.root / relative)
    elif target.is_dir():
        found.links.append((found.root / relative, str(link.readlink())))
    else:
        found.skipped.append(relative)


def digest_file(path: Path, deadline: Deadline | None = None, *, limit_bytes: int = MAX_BYTES) -> tuple[bytes, int]:
    """Return the SHA-256 of a plain file and its size in bytes. No more than this size is read.

    Raises
    ------
    SubmissionError
        It is not a plain file or is too large, or the time has passed.
    OSError
        It cannot be read.
    """
    deadline, digest = deadline or Deadline(), hashlib.sha256()
    with open_plain(path) as stream:
        size = rest = os.fstat(stream.fileno()).st_size
        if size > limit_bytes:
            raise SubmissionError(
                f"is {size // MIB} MiB, the limit is {limit_bytes // MIB} MiB", where=str(path), hint="make it smaller"
            )
        while rest > 0 and (chunk := stream.read(min(rest, MIB))):
            digest.update(chunk)
            rest -= len(chunk)
            deadline.check(path)
    return digest.digest(), size


def read_inside(path: Path, root: Path, limit_bytes: int) -> bytes:
    """Return the content of a plain file of a submission, at most `limit_bytes`.

    Raises
    ------
    SubmissionError
        It is not a plain file, or is a link that leaves the folder `root`.
    OSError
        It does not exist or cannot be read.
    """
    if path.is_symlink() and not path.resolve(strict=True).is_relative_to(root.resolve()):
        raise SubmissionError("links out of the folder", where=str(path), hint="copy the file into the folder")
    with open_plain(path) as stream:
        return stream.read(min(limit_bytes, os.fstat(stream.fileno()).st_size))


def open_plain(path: Path) -> io.BufferedReader:
    """Open a plain file for reading, without waiting for a pipe or a device.

    Raises
    ------
    SubmissionError
        It is not a plain file.
    OSError
        It does not exist or cannot be opened.
    """
    _require_plain(path.stat(), path)  # opening a device may have effects
    handle = os.open(path, os.O_RDONLY | _WITHOUT_WAITING)
    try:
        _require_plain(os.fstat(handle), path)  # it may have been replaced in between
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _require_plain(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SubmissionError("is not a plain file", where=str(path), hint="replace it by a file")
