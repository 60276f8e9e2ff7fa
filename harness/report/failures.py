"""Group the rows without a score by their cause, for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.rows import Row
from harness.results.failure_groups import group_failures


@dataclass(frozen=True, slots=True)
class Cause:
    """Rows that have no score for the same reason; ``title`` is empty for a single one."""

    title: str
    rows: list[Row]


def by_cause(rows: Sequence[Row]) -> list[Cause]:
    """Return the rows grouped by cause: status, stage and reason. Groups are in the order of their first row."""
    # By `id`, because rows of damaged files may share a slug.
    of_entry = {id(row.entry): row for row in rows}
    return [
        Cause(
            f"{len(group.entries)} {group.status} at {group.stage}: {group.reason}" if len(group.entries) > 1 else "",
            [of_entry[id(entry)] for entry in group.entries],
        )
        for group in group_failures(row.entry for row in rows)
    ]
