"""A result of ``harness doctor``: one property of this machine and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "missing"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One property of the machine that affects isolation or timing.

    Attributes
    ----------
    name
        Name of the property.
    value
        Its state.
    level
        ``ok``; ``warn`` if it makes times unreliable; ``missing`` if an isolation mechanism is unavailable.
    hint
        How to improve it; empty if there is nothing to do.
    """

    name: str
    value: str
    level: Level = "ok"
    hint: str = ""
