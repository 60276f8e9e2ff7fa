"""What the two programs of a task know: the track, the data sets and how to measure. Stored in their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from harness.errors import DataError
from harness.isolation.sandbox import Sandbox
from harness.results.record import Record
from harness.tracks import Track, get_track

FILE_NAME = "settings.json"
TRACK_FILE = "track.toml"

Kind = Literal["code", "results"]
"""``code``: a network, which is executed and timed. ``results``: images and the runtime that their authors state."""


class StoredDataset(Record):
    """One data set of a bundle."""

    folder: str
    """Name of its folder in the data, with the subfolders ``LR_xS`` and, in the reference data, ``HR``."""
    label: str = ""
    """Label of its figures, such as ``test``; empty for the only one."""
    name: str
    degradation: str
    images: list[str]
    """Names without extension."""
    bicubic: dict[str, float] = {}
    """PSNR of bicubic by image, dB, as the track scores it; empty in the ingestion program."""


class Measuring(Record):
    """How code is measured; see the options of ``harness run``."""

    device: str = "auto"
    threads: int | None = Field(default=None, ge=1)
    protocol: str | None = None
    time_budget_s: float | None = Field(default=None, gt=0)
    processes: int | None = Field(default=None, ge=1)
    timeout_s: float = Field(default=600.0, gt=0)
    sandbox: Sandbox = "auto"
    trust_pickle: bool = False


class Settings(Record):
    """The content of ``settings.json``."""

    harness_version: str
    track: str
    """Name of a track, or ``track.toml`` for the file beside the settings."""
    phase: str
    accepts: list[Kind]
    datasets: list[StoredDataset]
    bicubic_psnr: float | None = None
    """What the score subtracts, dB; None in the ingestion program."""
    bicubic_source: Literal["measured", "published"] = "measured"
    measuring: Measuring = Measuring()


def read_settings(folder: Path) -> Settings:
    """Read the settings of a program.

    Raises
    ------
    DataError
        The file is missing or not valid.
    """
    path = folder / FILE_NAME
    try:
        # pydantic's ValidationError is a ValueError, as are errors of JSON.
        return Settings.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        hint = "write the bundle again with `harness export`"
        raise DataError(f"cannot be used ({error})", where=str(path), hint=hint) from error


def track_of(settings: Settings, folder: Path) -> Track:
    """Return the track of the settings that were read from the folder of a program."""
    # The file of a custom track lies beside the settings, wherever the program is unpacked.
    return get_track(str(folder / TRACK_FILE) if settings.track == TRACK_FILE else settings.track)
