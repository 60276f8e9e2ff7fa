"""Published tables of challenges: the printed figures, kept as text so that their rounding is known."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table as a challenge printed it.

    Attributes
    ----------
    file
        Name of the CSV file in ``harness/tracks/tables``.
    source
        Where it was read.
    bicubic
        The reference interpolation's PSNR that its scores subtract, in dB.
    """

    file: str
    source: str
    bicubic: float | None = None

    def rows(self) -> list[dict[str, str]]:
        """Return the rows; keys are names of figures beside ``team``, ``rank`` and ``score``, values are as printed."""
        with (_FOLDER / self.file).open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
