"""Whether the files of a submission are still those that the run has planned with.

A run takes hours, in which a team may replace its files. Figures would then be stored for files that they are not of,
and the processes of one network would load different ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.plain_files import Deadline, digest_file
from harness.results.fingerprint import fingerprint_files, surveyed


@dataclass(frozen=True, slots=True)
class _FileState:
    """What tells cheaply that a file has not changed, and the digest of its content."""

    stamp: tuple[int, int, int]
    digest: bytes


@dataclass(slots=True)
class FileStates:
    """The files of a folder at one moment.

    Attributes
    ----------
    root
        The folder.
    fingerprint
        Hash over names and contents of all files.
    note
        Remark on what was skipped; None if nothing was.
    """

    root: Path
    fingerprint: str = ""
    note: str | None = None
    _states: dict[Path, _FileState] = field(default_factory=dict)

    def changed(self) -> str | None:
        """Return the name of a file that was changed or removed since then; None if none was.

        New files are not looked for: a network may write some.
        """
        for path, state in self._states.items():
            try:
                # The content counts: a copy of the same files has other times.
                if _stamp(path) != state.stamp and digest_file(path)[0] != state.digest:
                    return path.relative_to(self.root).as_posix()
            except (OSError, HarnessError):
                return path.relative_to(self.root).as_posix()
        return None


def file_states(root: Path, *, links_may_leave: bool = False) -> FileStates:
    """Read the files of a folder that enter its fingerprint.

    Raises
    ------
    SubmissionError
        A limit is exceeded, or a link leaves the folder.
    OSError
        A file cannot be read.
    """
    deadline = Deadline()
    found = surveyed(root, deadline, links_may_leave=links_may_leave)
    # Before the contents are read: what is changed meanwhile shows as a change later.
    stamps = {path: _stamp(path) for path in found.files}
    states = FileStates(root, note=found.note())

    def keep(path: Path, digest: bytes) -> None:
        states._states[path] = _FileState(stamps[path], digest)

    states.fingerprint = fingerprint_files(found, deadline, keep)
    return states


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino
