"""Boundaries of a submission: links that leave its folder, and folders that hold other submissions as well.

A worker can read the whole folder of its submission, and the controller reads some of its files. A link would add files
of this machine to them, and a folder with other submissions would show those to its code.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from harness.errors import ManifestError, SubmissionError
from harness.submissions import archives
from harness.submissions.manifest import FILE_NAMES, Manifest

# Files that make a folder a submission.
_MARKS = {*FILE_NAMES, "arch.py"}


def check_child(child: Path, inbox: Path) -> None:
    """Check that a file or folder of an inbox is not a link to something outside of the inbox.

    Raises
    ------
    ManifestError
        It is.
    """
    if child.is_symlink() and not _is_within(os.path.realpath(child), os.path.realpath(inbox)):
        raise ManifestError(
            "is a link that leads out of the folder of submissions",
            where=str(child),
            hint="copy it, or name its target on the command line",
        )


def others_in(folder: Path, manifest: Manifest | None) -> list[str]:
    """Return the names of other submissions that lie directly in the folder of a submission.

    These are zip files of submissions, and folders with a ``submission.toml`` or an ``arch.py``, apart from the folder
    that holds the submission's own factory.
    """
    own = manifest.factory.partition(":")[0].split(".")[0] if manifest is not None else ""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_submission(Path(entry.path), own))


def _is_submission(path: Path, own: str) -> bool:
    if path.name.startswith((".", "__")) or path.name in {own, "results"} or path.is_symlink():
        return False
    try:
        if path.is_dir():
            inner = archives.submission_folder(path)
            return any((inner / name).is_file() for name in _MARKS)
        return path.suffix.lower() == ".zip" and _is_submitted_zip(path)
    except (OSError, RecursionError, SubmissionError):  # what cannot be read is no submission that others could read
        return False


def _is_submitted_zip(path: Path) -> bool:
    """Return whether a zip names a file of a submission, by the end of its bytes: its index is there, uncompressed."""
    if not stat.S_ISREG(path.stat().st_mode):
        return False
    with path.open("rb") as file:
        # No zip is accepted whose index is larger, see `archives.extract`.
        file.seek(max(0, path.stat().st_size - archives.Limits().index_bytes))
        index = file.read()
    return any(name.encode() in index for name in _MARKS)


def _is_within(path: str, root: str) -> bool:
    # With a separator at the end, so that /a/bc is not within /a/b.
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
