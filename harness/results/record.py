"""The base of all stored values, and the types of their fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["ok", "failed", "disqualified", "unsupported"]
Backend = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Name of a backend, one of the entry points of the group ``harness.backends`` where the run was made."""
Colour = Literal["rgb", "bgr", "ycbcr", "y"]
"""Colour space of a network's input and output."""
Statistic = Literal["mean", "median"]
Interval = tuple[float, float]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
CountedBy = Literal["", "process", "graph", "harness"]
"""``process``: the submission's own process reports it. ``graph``: a process without its code counted the exported
graph, which gives the submission's images. ``harness``: no submitted code was executed. Empty in older runs."""


class Record(BaseModel):
    """A stored value: immutable, strict about unknown keys, finite numbers only."""

    # Docstrings below attributes become descriptions in the JSON Schema.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
