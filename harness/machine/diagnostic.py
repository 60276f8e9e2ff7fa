"""What `harness doctor` found out about one property of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "missing"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that matters for confining submissions or for timing them.

    Attributes
    ----------
    name
        What was looked at.
    value
        What was found.
    level
        ``warn`` where it makes times unreliable, ``missing`` where a means of isolation is not available.
    hint
        What can be done about it.
    """

    name: str
    value: str
    level: Level = "ok"
    hint: str = ""
