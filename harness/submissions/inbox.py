"""Tell what lies in a folder of submissions: submissions, archives that cannot be read, and other things."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from harness.errors import ArchiveError
from harness.faults import concerns_the_run
from harness.submissions import archives
from harness.submissions.bare import is_bare
from harness.submissions.manifest import manifest_file
from harness.text import single_line

# Suffixes of files that make a folder without a manifest a failed row instead of being ignored.
_CODE = {".py", ".toml", ".pth", ".pt", ".ckpt", ".safetensors"}
_MAX_LISTED = 10_000
"""Number of files at the top of a folder among which code is searched."""
_OTHER_ARCHIVES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".rar", ".7z", ".zipx",
)  # fmt: skip
# Files and folders that mark a folder of results of the harness.
_RESULTS = ("results.json", "leaderboard.html", "measurements", "unfinished")
_MAX_NAMED = 8
_MAX_NAME = 60


def other_archive(path: Path) -> str | None:
    """Return the suffix of an archive that is not a zip file; None for all other names."""
    name = path.name.lower()
    # Checkpoints are sometimes called `.pth.tar`; they are no archives.
    return next((suffix for suffix in _OTHER_ARCHIVES if name.endswith(suffix) and not name.endswith(".pth.tar")), None)


def refuse_archive(path: Path) -> None:
    """Raise an ArchiveError for an archive that is not a zip file."""
    suffix = other_archive(path)
    if suffix is not None:
        hint = "pack the folder as a zip file: `zip -r submission.zip FOLDER`"
        raise ArchiveError(f"is a {suffix} archive, and only zip files are read", where=str(path), hint=hint)


def is_source(path: Path) -> bool:
    """Return whether a file or folder of an inbox is a submission. One that cannot be examined is: it has a row."""
    if _is_by_product(path):
        return False
    try:
        if path.is_file():
            return path.suffix.lower() == ".zip" or other_archive(path) is not None or is_bare(path)
        folder = archives.submission_folder(path)
        return is_submission(folder) or _has_code(folder)
    except (NotADirectoryError, FileNotFoundError):  # a broken link or a pipe
        return False
    except OSError:  # an unreadable folder is listed, so that it appears as a failed row instead of being skipped
        return _is_folder(path)
    except Exception as error:
        if concerns_the_run(error):
            raise
        return True


def is_submission(folder: Path) -> bool:
    """Return whether a folder has a manifest, or an ``arch.py``."""
    return manifest_file(folder) is not None or (folder / "arch.py").is_file()


def skipped(sources: Iterable[Path], folder: Path) -> list[str]:
    """Return the names of the folders in an inbox that are no submissions, without folders of results of the harness.

    Parameters
    ----------
    sources
        The submissions in it.
    folder
        The inbox.
    """
    known = set(sources)
    others = (path for path in sorted(folder.iterdir()) if path not in known and not _is_by_product(path))
    return [path.name for path in others if _is_folder(path) and not _has_results(path)]


def skipped_line(names: list[str], why: str = "neither submission.toml nor arch.py in it") -> str:
    """Return a line that names folders or files which are no submissions; empty for none."""
    if not names:
        return ""
    shown = ", ".join(single_line(name, _MAX_NAME) for name in names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"skipped: {shown}{more} ({why})"


def _is_by_product(path: Path) -> bool:
    # Hidden files, and what packing and Python leave (__MACOSX, __pycache__).
    return path.name.startswith((".", "__"))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return True


def _has_results(folder: Path) -> bool:
    """Return whether a folder holds results of a run, or of several."""
    try:
        folders = [folder, *(one for one in list(folder.iterdir())[:_MAX_LISTED] if one.is_dir())]
        return any((one / name).exists() for one in folders for name in _RESULTS)
    except OSError:
        return False


def _has_code(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        # A folder of more files is a submission too, and is refused with its number of files.
        return any(number >= _MAX_LISTED or Path(one.name).suffix in _CODE for number, one in enumerate(entries))
