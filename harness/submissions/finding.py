"""One sentence of the contract of a submission, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a sentence of the contract holds (``ok``, ``warn``, ``error``), what was seen, and the mend."""

    level: Level
    what: str
    mend: str = ""
