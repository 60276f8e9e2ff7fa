"""Fingerprints: hashes of everything that a measurement depends on, so that unchanged submissions are not repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

# Written by Python, editors and the challenge's scripts; they do not affect measurements.
_IGNORED_FOLDERS = frozenset({"__pycache__", ".git", ".ruff_cache", ".mypy_cache", "results"})
_IGNORED_FILES = frozenset({"submission.toml", "README.md", ".DS_Store"})


def fingerprint_folder(root: Path) -> str:
    """Return the SHA-256 over names and contents of the files below `root`.

    The manifest and the README are excluded. The relevant keys of the manifest enter the fingerprint by value, so that
    a change of the displayed name does not cause a new measurement.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(root)):
        digest.update(
            f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape")
        )
        # The size separates the name from the content, so that no two folders produce the same byte sequence.
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _files(root: Path) -> Iterable[Path]:
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        ignored = _IGNORED_FOLDERS.intersection(relative.parts) or relative.as_posix() in _IGNORED_FILES
        if path.is_file() and not ignored:
            yield path


def combine(parts: Mapping[str, object]) -> str:
    """Return one hash of named, JSON-serializable values, independent of their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
