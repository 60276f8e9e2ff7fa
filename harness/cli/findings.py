"""Prepare findings and errors about submissions for the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol, TypeVar

# The cache folder of an extracted zip file, which is named by the SHA-256 of the file.
_ARCHIVE_FOLDER = re.compile(r"\S*/archives/[0-9a-f]{64}/")


class Checked(Protocol):
    """What was found about one submission at one scale."""

    @property
    def name(self) -> str:
        """Name of the submission."""

    @property
    def scale(self) -> int | None:
        """The scale; None if the submission could not be read."""

    @property
    def findings(self) -> tuple[Any, ...]:
        """The findings, which can be compared."""

    @property
    def log(self) -> str:
        """What the submission printed, if it failed."""

    @property
    def passed(self) -> bool:
        """Whether none of them is an error."""


OneCheck = TypeVar("OneCheck", bound=Checked)


def titled(checks: Sequence[OneCheck]) -> list[tuple[str, OneCheck]]:
    """Return checks with their titles; one for all scales at which a submission fails for the same reasons."""

    def key(check: OneCheck) -> tuple[object, ...]:
        # Passed checks differ in their figures, so each scale keeps its own; failed ones are merged if they fail alike.
        return check.name, check.passed, check.scale if check.passed else check.findings

    groups = [list(group) for _, group in groupby(checks, key)]
    return [(_title(group), group[0]) for group in groups]


def _title(group: Sequence[Checked]) -> str:
    scales = [f"x{one.scale}" for one in group if one.scale is not None]
    return " ".join([group[0].name, ", ".join(scales)]).strip()


def without_archive_folder(text: str) -> str:
    """Remove the folder to which a zip was extracted: its name is a hash of 64 digits, which nobody knows."""
    return _ARCHIVE_FOLDER.sub("", text)
