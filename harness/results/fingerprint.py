"""Fingerprints: hashes of everything that a measurement depends on, so that unchanged submissions are not repeated."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.plain_files import Deadline, Survey, digest_file, survey

UNHASHED = frozenset(
    {".git", ".hg", ".svn", ".ruff_cache", ".mypy_cache", ".pytest_cache", ".DS_Store", "results"}
    | {"submission.toml", "harness.toml", "README.md"}
)
"""Names in a submission's folder that no fingerprint covers: tools write them, or people read them.

A worker must not see them either, or it could behave by what is in them: see :func:`unhashed` and
``harness.isolation.sandbox``.
"""


def fingerprint_folder(root: Path) -> str:
    """Return the SHA-256 over names and contents of all files below `root` that code in it can read.

    The manifest and the README are excluded. The relevant keys of the manifest enter the fingerprint of a measurement
    by value, so that a change of the description does not cause a new one. Byte code is included: it is not executed,
    but code can read it.
    """
    return fingerprint_files(surveyed(root))


def surveyed(root: Path, deadline: Deadline | None = None, *, links_may_leave: bool = False) -> Survey:
    """List the files that enter the fingerprint of a folder; see :func:`harness.plain_files.survey`."""

    def ignored(_name: str, relative: str) -> bool:
        # A link could point to a file that code reads.
        return relative in UNHASHED and not (root / relative).is_symlink()

    return survey(root, deadline=deadline, ignored=ignored, links_may_leave=links_may_leave)


def fingerprint_files(
    found: Survey, deadline: Deadline | None = None, seen: Callable[[Path, bytes], None] = lambda _path, _digest: None
) -> str:
    """Return the SHA-256 over names and contents of the files of a survey.

    Parameters
    ----------
    found
        The files.
    deadline
        Limit on time.
    seen
        Called with each file and the digest of its content.

    Raises
    ------
    SubmissionError
        A file is no longer a plain file, or the time has passed.
    OSError
        A file cannot be read.
    """
    digest, deadline = hashlib.sha256(), deadline or Deadline()
    for path in found.files:
        content, size = digest_file(path, deadline)
        seen(path, content)
        # Names of files need not be valid UTF-8, hence fsencode.
        # The size separates the name from the content, so that no two folders produce the same byte sequence.
        digest.update(os.fsencode(f"{path.relative_to(found.root).as_posix()}\0{size}\0"))
        digest.update(content)
    # Links to folders: files are hashed where they lie, so that the target as text is enough.
    for path, target in found.links:
        digest.update(os.fsencode(f"{path.relative_to(found.root).as_posix()}\0link\0{target}\0"))
    return digest.hexdigest()


def unhashed(root: Path) -> list[Path]:
    """Return what lies directly in `root` and is not part of its fingerprint. Links are always part of it."""
    # Only at the top: deeper files of these names enter the fingerprint, see `surveyed`.
    return sorted(root / name for name in UNHASHED if (root / name).exists() and not (root / name).is_symlink())


def combine(parts: Mapping[str, object]) -> str:
    """Return one hash of named, JSON-serializable values, independent of their order."""
    # Sorted keys make the text, and so the hash, independent of the order of insertion.
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
