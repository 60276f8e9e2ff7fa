"""Fingerprints: hashes of everything that a measurement depends on, so that unchanged submissions are not repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

UNHASHED = frozenset(
    {".git", ".hg", ".svn", ".ruff_cache", ".mypy_cache", ".pytest_cache", ".DS_Store", "results"}
    | {"submission.toml", "README.md"}
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
    digest = hashlib.sha256()
    for path in sorted(_files(root)):
        digest.update(
            f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape")
        )
        # The size separates the name from the content, so that no two folders produce the same byte sequence.
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def unhashed(root: Path) -> list[Path]:
    """Return what lies directly in `root` and is not part of its fingerprint. Links are always part of it."""
    return sorted(root / name for name in UNHASHED if (root / name).exists() and not (root / name).is_symlink())


def _files(root: Path) -> Iterable[Path]:
    excluded = {path.name for path in unhashed(root)}
    for path in root.rglob("*"):
        if path.is_file() and path.relative_to(root).parts[0] not in excluded:
            yield path


def combine(parts: Mapping[str, object]) -> str:
    """Return one hash of named, JSON-serializable values, independent of their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
