"""State of a run in progress: a small hidden file in its folder, which is removed when the run ends."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from harness.results.record import Fraction, Record, Status

FILE = ".progress.json"
SILENT_S = 120.0
"""Seconds without a write after which a run counts as ended, if its process cannot be seen from here.

The process may be in another container.
"""


class FinishedNetwork(Record):
    """A network that is measured."""

    name: str
    status: Status
    reason: str = ""
    """Why it has no figures, in one line; empty if it has."""


class RunProgress(Record):
    """How far a run is."""

    pid: int
    """Process that runs it."""
    total: int = Field(ge=0)
    """Number of networks in the run."""
    done: int = Field(ge=0)
    """Number of networks that are measured."""
    share: Fraction = 0.0
    """Part of the whole run that is done."""
    seconds_left: float | None = None
    """Estimate for the rest of the run; None if unknown."""
    name: str = ""
    """Network at work; empty if there is none."""
    stage: str = ""
    """What is done with it, as in `harness.run.progress.StageProgress`."""
    detail: str = ""
    """More about the stage, such as an image's name."""
    process: int = Field(default=1, ge=1)
    """Which process of the network is timed, from 1."""
    processes: int = Field(default=1, ge=1)
    """Number of processes that the network is timed in."""
    places: dict[str, str] = {}
    """What each place does, in words, in a run with several."""
    finished: list[FinishedNetwork] = []
    """The networks that are measured, in the order in which they were."""


def describe_stage(stage: str, detail: str, process: int, processes: int) -> str:
    """Return in words what is done with a network, such as ``time, process 2 of 3``."""
    parts = [f"{stage} {detail}".strip(), f"process {process} of {processes}" if processes > 1 else ""]
    return ", ".join(filter(None, parts))


def describe_time_left(seconds: float | None) -> str:
    """Return an estimate in words, such as ``about 3 min left``; empty if it is unknown."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


def write_progress(folder: Path, progress: RunProgress) -> None:
    """Replace the file, without waiting for the disk. A folder that cannot be written does not end a run."""
    part = folder / f"{FILE}.{os.getpid():08}.part"  # a name that `harness.files.remove_remains` removes
    try:
        part.write_text(progress.model_dump_json(), encoding="utf-8")
        # Renamed into place, so that a reader never sees half of it.
        part.replace(folder / FILE)
    except OSError:
        with suppress(OSError):  # the folder may be gone, or a file in its place
            part.unlink(missing_ok=True)


def read_progress(folder: Path) -> RunProgress | None:
    """Return the progress of the run in a folder; None if no run is in progress."""
    file = folder / FILE
    try:
        found = RunProgress.model_validate_json(file.read_bytes())
        silent_s = time.time() - file.stat().st_mtime
    except (OSError, ValueError):
        return None
    # A file that was written lately is believed even if the process cannot be seen from here.
    return found if silent_s < SILENT_S or _is_alive(found.pid) else None


def clear_progress(folder: Path) -> None:
    """Remove the file."""
    with suppress(OSError):  # the folder may be gone, or a file in its place
        (folder / FILE).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        # Signal 0 sends nothing; the call only checks whether the process exists.
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # It exists and belongs to another user.
    except PermissionError:
        return True
    return True
