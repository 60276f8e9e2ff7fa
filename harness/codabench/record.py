"""The signed record that the ingestion program passes to the scoring program.

Both steps of a submission run in containers of their own. Files of the submission reach the second one as well, so that
a record without the signature may have been written by the participant.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from harness.errors import ResultsError
from harness.files import write_atomically
from harness.results.record import Record
from harness.results.schema import ErrorInfo, Run

FILE_NAME = "measured.json"
# File of the key in the folders of both programs.
KEY_FILE = "signing_key"
IMAGES = "images"
"""Folder of the upscaled images beside the record."""


class Measured(Record):
    """What was measured of a code submission, without its quality."""

    run: Run | None = None
    """The run of this one submission. Its figures of quality are void: the ingestion program has no ground truth."""
    error: ErrorInfo | None = None
    """Why there is nothing to score."""
    images: dict[str, str] = {}
    """SHA-256 of each upscaled image, by path below `IMAGES`."""
    exposure: list[str] = []
    """What the code of the submission was not confined from."""


def write_record(folder: Path, record: Measured, key: bytes) -> None:
    """Write the record, signed with a key that the participant does not know."""
    content = record.model_dump_json()
    # The text is signed, not the object: serialized again, it could differ in bytes.
    signed = {"signature": _signature(content, key), "content": content}
    write_atomically(folder / FILE_NAME, json.dumps(signed).encode())


def read_record(folder: Path, key: bytes) -> Measured:
    """Read a record, and check that it and the images beside it are those that the ingestion program wrote.

    Raises
    ------
    ResultsError
        They are not.
    """
    path = folder / FILE_NAME
    try:
        stored = json.loads(path.read_bytes())
        content, signature = str(stored["content"]), str(stored["signature"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ResultsError("the record of the measurement cannot be read", where=FILE_NAME) from error
    # In constant time, so that the duration says nothing about the signature.
    if not hmac.compare_digest(signature, _signature(content, key)):
        hint = f"remove {FILE_NAME} from the submission: the organisers' program writes it"
        raise ResultsError(
            "the record of the measurement was not written by the organisers", where=FILE_NAME, hint=hint
        )
    record = Measured.model_validate_json(content)
    for name, digest in record.images.items():
        # A missing image has the digest None and is refused as well.
        if _sha256(folder / IMAGES / name) != digest:
            raise ResultsError("the image was changed after the network wrote it", where=name)
    return record


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every PNG below a folder, by path."""
    return {path.relative_to(folder).as_posix(): _sha256(path) or "" for path in sorted(folder.rglob("*.png"))}


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _signature(content: str, key: bytes) -> str:
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()
