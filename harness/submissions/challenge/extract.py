"""Copy the files that one branch of a challenge's script uses to a folder of their own.

A worker can read the whole folder of its submission, and a repository holds the code and the weights of all teams. The
copy keeps the layout, so that paths relative to the repository and imports from it work.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.errors import SubmissionError
from harness.plain_files import Deadline, digest_file, open_plain
from harness.submissions.manifest import FILE_NAME, Manifest


def extract(root: Path, files: Iterable[str], manifest: Manifest | None, cache: Path, name: str) -> Path:
    """Copy files of a repository, add a manifest, and return the folder. It is named by the content of the files.

    Parameters
    ----------
    root
        The repository.
    files
        Relative paths.
    manifest
        What is written as the folder's ``submission.toml``; nothing is if it is None or leaves the scale open.
    cache
        Folder in which the copy is made.
    name
        Name of the folder inside of one that is named by the content.

    Raises
    ------
    SubmissionError
        A file is no plain file, or a link that leads out of the repository, or there is no room for the copy.
    """
    # The order of the files must not change the digest.
    ordered, deadline, text = sorted(set(files)), Deadline(), _as_toml(manifest)
    digest = hashlib.sha256(json.dumps([text, name]).encode())
    for file in ordered:
        _check_inside(root, file)
        digest.update(f"{file}\0".encode(errors="surrogateescape") + digest_file(root / file, deadline)[0])
    target = cache / f"{digest.hexdigest()}-challenge" / name
    if not target.is_dir():  # it appears by a rename, so that an existing folder is complete
        _copy(root, ordered, text, target)
    return target.resolve()


def _copy(root: Path, files: Iterable[str], text: str, target: Path) -> None:
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".copying-"))
        for file in files:
            place = temporary / file
            place.parent.mkdir(parents=True, exist_ok=True)
            # Mode "x" would fail for a file that exists: each file is written once.
            with open_plain(root / file) as source, place.open("xb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        if text:
            (temporary / FILE_NAME).write_text(text, encoding="utf-8")
        temporary.chmod(0o755)  # mkdtemp creates it with 0700
        temporary.rename(target)
    except OSError as error:
        if target.is_dir():  # another process has made the same copy in the meantime
            return
        hint = f"make {target.parent.parent} writable, or set HARNESS_CACHE_DIR to another folder"
        raise SubmissionError(f"cannot be copied: {error.strerror}", where=str(root), hint=hint) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _check_inside(root: Path, file: str) -> None:
    path = root / file
    if not path.resolve().is_relative_to(root.resolve()):
        raise SubmissionError("links out of the repository", where=str(path), hint="copy the file into the repository")


def _as_toml(manifest: Manifest | None) -> str:
    """Return the manifest as text; empty if it does not state the one scale of the network."""
    if manifest is None or len(manifest.scales) != 1:
        return ""
    fields = {
        "name": manifest.name,
        "team": manifest.team,
        "scales": manifest.scales,
        "factory": manifest.factory,
        "value_range": manifest.value_range,
        "requires": manifest.requires,
    }
    # Texts, numbers and lists of JSON are also those of TOML, as long as nothing is written as a pair of surrogates.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    weights = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in (manifest.weights or {}).items()]
    return "\n".join(["[submission]", *lines, *(["[weights]", *weights] if weights else []), ""])
