"""The result of one check of the submission contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import SubmissionError

Level = Literal["ok", "warn", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its level (``ok``, ``warn`` or ``error``), a description, and how to fix it."""

    level: Level
    what: str
    hint: str = ""


def finding_of_error(error: SubmissionError) -> Finding:
    """Convert an exception that ended the check of a submission to a finding."""
    place = f"{error.where}: " if error.where else ""
    return Finding("error", f"{place}{error.what}", error.hint or "")
