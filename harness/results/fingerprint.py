"""Fingerprints: hashes of everything that a measurement depends on, so that unchanged submissions are not repeated."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from harness.plain_files import Deadline, Survey, digest_file, survey

# Written by Python, editors and the challenge's scripts; they do not affect measurements.
_IGNORED_FOLDERS = frozenset({"__pycache__", ".git", ".ruff_cache", ".mypy_cache", "results"})
_IGNORED_FILES = frozenset({"submission.toml", "README.md", ".DS_Store"})


def fingerprint_folder(root: Path) -> str:
    """Return the SHA-256 over names and contents of the files below `root`.

    The manifest and the README are excluded. The relevant keys of the manifest enter the fingerprint by value, so that
    a change of the displayed name does not cause a new measurement.
    """
    return fingerprint_files(surveyed(root))


def surveyed(root: Path, deadline: Deadline | None = None, *, links_may_leave: bool = False) -> Survey:
    """List the files that enter the fingerprint of a folder; see :func:`harness.plain_files.survey`."""
    return survey(root, deadline=deadline, ignored=_is_ignored, links_may_leave=links_may_leave)


def fingerprint_files(found: Survey, deadline: Deadline | None = None) -> str:
    """Return the SHA-256 over names and contents of the files of a survey.

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
        # The size separates the name from the content, so that no two folders produce the same byte sequence.
        digest.update(os.fsencode(f"{path.relative_to(found.root).as_posix()}\0{size}\0"))
        digest.update(content)
    for path, target in found.links:
        digest.update(os.fsencode(f"{path.relative_to(found.root).as_posix()}\0link\0{target}\0"))
    return digest.hexdigest()


def _is_ignored(name: str, relative: str) -> bool:
    return name in _IGNORED_FOLDERS or relative in _IGNORED_FILES


def combine(parts: Mapping[str, object]) -> str:
    """Return one hash of named, JSON-serializable values, independent of their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
