"""The files of a submission as one value, to be written again on another machine. None of them is executed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.plain_files import Deadline, open_plain
from harness.results.fingerprint import surveyed
from harness.submissions.manifest import FILE_NAME
from harness.submissions.submission import Submission


@dataclass(frozen=True, slots=True)
class Parcel:
    """The files of one submission.

    Attributes
    ----------
    files
        Content by relative path. Links to files are files here.
    links
        Targets of links to folders inside the folder, by relative path.
    """

    files: dict[str, bytes]
    links: dict[str, str]

    @property
    def total_bytes(self) -> int:
        """Size of all files, bytes."""
        return sum(map(len, self.files.values()))


def pack(submission: Submission) -> Parcel | None:
    """Read what a worker may see of a submission; None if it is an installed package, which is installed everywhere.

    Raises
    ------
    SubmissionError
        The folder has changed meanwhile and is no longer within the limits.
    OSError
        A file cannot be read.
    """
    if submission.module is not None:
        return None
    deadline = Deadline()
    found = surveyed(submission.root, deadline)
    manifest = submission.root / FILE_NAME
    # The survey leaves out what no fingerprint covers. Of that, the worker needs the manifest.
    listed = [*found.files, *([manifest] if manifest.is_file() and not manifest.is_symlink() else [])]
    files = {}
    for path in listed:
        deadline.check(path)
        with open_plain(path) as stream:
            # The size at opening is the limit, so that a file that grows meanwhile does not fill the memory.
            files[path.relative_to(found.root).as_posix()] = stream.read(os.fstat(stream.fileno()).st_size)
    # An absolute target is of this machine; the survey has checked that it is inside the folder.
    links = {
        path.relative_to(found.root).as_posix(): os.path.relpath(path.resolve(), path.parent.resolve())
        for path, _ in found.links
    }
    return Parcel(files, links)


def unpack(parcel: Parcel, folder: Path) -> Path:
    """Lay out the files in a new folder and return it; if it exists already, it is complete and is left alone."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    for relative, content in parcel.files.items():
        path = draft / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for relative, target in parcel.links.items():
        path = draft / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target, target_is_directory=True)
    draft.chmod(0o755)  # a worker may be another user, and mkdtemp creates it for this one only
    with suppress(OSError):  # another thread was faster
        draft.rename(folder)
    shutil.rmtree(draft, ignore_errors=True)
    return folder
