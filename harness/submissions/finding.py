"""One sentence of the contract of a submission, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import SubmissionError

Level = Literal["ok", "warn", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a sentence of the contract holds (``ok``, ``warn``, ``error``), what was seen, and the mend."""

    level: Level
    what: str
    hint: str = ""


def finding_of_error(error: SubmissionError) -> Finding:
    """Return the finding for an error that ends the check of a submission."""
    place = f"{error.where}: " if error.where else ""
    return Finding("error", f"{place}{error.what}", error.hint or "")
