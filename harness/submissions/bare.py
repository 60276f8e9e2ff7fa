"""Submissions that consist of a single file: an ONNX model, an exported program or a recognized checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.errors import ManifestError
from harness.files import atomic_file
from harness.plain_files import Deadline, digest_file, open_plain
from harness.submissions.archives import default_cache
from harness.submissions.loaders import PREFIX, loader_for
from harness.submissions.manifest import Manifest
from harness.submissions.submission import PROTOCOL_SCALES


def is_bare(path: Path) -> bool:
    """Return whether ``path`` is a file that a loader takes by its suffix."""
    return loader_for(path) is not None


def adopt(path: Path, cache_dir: Path | None = None) -> tuple[Path, Manifest]:
    """Copy the file to a cache folder named by its hash, and return that folder with a generated manifest.

    A worker can read the whole folder of its submission, and the file's original folder may contain other submissions.

    Raises
    ------
    ManifestError
        The file cannot be read.
    """
    try:
        digest = digest_file(path, Deadline())[0].hex()
        name = f"network{path.suffix.lower()}"
        folder = (cache_dir or default_cache()) / f"{digest}-file"
        # The file appears by a rename, so that an existing one is complete.
        if not (folder / name).is_file():
            with open_plain(path) as source, atomic_file(folder / name) as target:
                shutil.copyfileobj(source, target)
    except OSError as error:
        hint = "check the file, or set HARNESS_CACHE_DIR to a folder that can be written"
        raise ManifestError(f"cannot be read or copied: {error.strerror}", where=str(path), hint=hint) from error
    return folder.resolve(), _manifest(path, name)


def _manifest(path: Path, name: str) -> Manifest:
    # The file name is chosen by the submitter and is printed to terminals and pages.
    visible = "".join(character for character in path.stem if character.isprintable()).strip()[:200]
    return Manifest(
        name=visible or "submission",
        scales=list(PROTOCOL_SCALES),
        factory=f"{PREFIX}{loader_for(path)}",
        weights={f"x{scale}": name for scale in PROTOCOL_SCALES},
    )
