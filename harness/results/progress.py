"""How far a run is, for whoever looks at its folder meanwhile: one small hidden file, removed when the run ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import Field, ValidationError

from harness.results.schema import Fraction, Record

FILE = ".progress.json"
SILENT_S = 120.0
"""A run whose process cannot be seen from here, in another container say, counts as ended after this long a silence."""


class Progress(Record):
    """Where a run stands."""

    pid: int
    """Process that runs it."""
    total: int = Field(ge=0)
    """Networks in the run."""
    done: int = Field(ge=0)
    """Networks of which all is known."""
    share: Fraction = 0.0
    """Part of the whole work that is done, a network counted like another."""
    name: str = ""
    """Network at work."""
    stage: str = ""
    """What is done with it."""


def write_progress(folder: Path, progress: Progress) -> None:
    """Replace the file, without waiting for the disk; a folder that cannot be written is no reason to end a run."""
    part = folder / f"{FILE}.{os.getpid():08}.part"  # a name that `remove_remains` knows
    try:
        part.write_text(progress.model_dump_json(), encoding="utf-8")
        part.replace(folder / FILE)
    except OSError:
        part.unlink(missing_ok=True)


def read_progress(folder: Path) -> Progress | None:
    """Return where a run stands, or None where none is going on."""
    file = folder / FILE
    try:
        found = Progress.model_validate_json(file.read_bytes())
        silent_s = time.time() - file.stat().st_mtime
    except (OSError, ValidationError):
        return None
    return found if silent_s < SILENT_S or _is_alive(found.pid) else None


def clear_progress(folder: Path) -> None:
    """Remove the file."""
    (folder / FILE).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
