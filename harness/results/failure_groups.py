"""Group rows without a score by their reason, so that thousands of failures can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.results.schema import Entry

_PLACE = re.compile(r"\S*/\S*")  # a path or an address
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Rows with the same status, stage and reason.

    Attributes
    ----------
    status, stage
        Of every row.
    reason
        First line of the message of the first row.
    entries
        The rows, in the order of the table.
    """

    status: str
    stage: str
    reason: str
    entries: tuple[Entry, ...]


def group_failures(entries: Iterable[Entry]) -> list[FailureGroup]:
    """Return the rows that have an error, grouped; groups are in the order of their first row.

    Reasons are equal if they differ in paths, numbers and the name of the submission only.
    """
    groups: dict[tuple[str, str, str, str], list[Entry]] = {}
    for entry in entries:
        if entry.error is not None:
            key = entry.status, entry.error.stage, entry.error.type, _pattern(entry)
            groups.setdefault(key, []).append(entry)
    return [
        FailureGroup(status, stage, rows[0].error.first_line if rows[0].error else "", tuple(rows))
        for (status, stage, _, _), rows in groups.items()
    ]


def _pattern(entry: Entry) -> str:
    # Cut, because the time of the substitutions grows faster than the length of an untrusted text.
    line = entry.error.first_line[:500] if entry.error else ""
    # Before numbers are replaced, because a name may contain digits.
    for own in (entry.name, entry.slug):
        line = line.replace(own, "") if own else line
    return _NUMBER.sub("0", _PLACE.sub("", line))
