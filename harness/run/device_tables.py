"""Tables of a run whose networks were timed on several devices: devices that are not equally fast are never mixed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.results import TimingRecord
from harness.run.context import MeasuredSubmission
from harness.statistics.anchors import agreeing, anchor_interval
from harness.statistics.runtime_summary import process_spread


@dataclass(frozen=True, slots=True)
class DeviceTable:
    """The rows that one table ranks.

    Attributes
    ----------
    places
        Names of the devices that timed them; empty in a run with one device.
    measured
        The rows, in the plan's order.
    folder
        Name of the table's folder in the run's; empty for the run's own table.
    warnings
        What a reader must know about the other tables.
    """

    places: tuple[str, ...]
    measured: list[MeasuredSubmission]
    folder: str = ""
    warnings: tuple[str, ...] = ()


def tables_by_device(measured: Sequence[MeasuredSubmission]) -> list[DeviceTable]:
    """Return the tables of a run, that of the most networks first; rows without times are in the first.

    Devices share a table if any two of them agree: the intervals of the anchor's times on them overlap.
    """
    records: dict[str, list[TimingRecord]] = {}
    for _, measurement in measured:
        if measurement.timing is not None:
            records.setdefault(measurement.timing.place, []).append(measurement.timing)
    # One estimate for all devices, because each alone may have timed few networks.
    spread = process_spread([record for found in records.values() for record in found])
    intervals = {place: anchor_interval(found, spread) for place, found in records.items()}
    known = {place: interval for place, interval in intervals.items() if interval is not None}
    # Without rounds there is no anchor and no interval: then no device can be told to differ from another.
    if len(known) < 2:
        return [DeviceTable((), list(measured))]
    # The table of the run itself is that of the devices that timed most networks.
    groups = sorted(agreeing(known), key=lambda group: -sum(len(records[place]) for place in group))
    others = {place for group in groups[1:] for place in group}
    own = [one for one in measured if one.measurement.timing is None or one.measurement.timing.place not in others]
    tables = [_table(group, measured) for group in groups[1:]]
    notes = tuple(
        f"{len(table.measured)} network(s) were timed on {', '.join(map(_known_as, table.places))}, "
        f"where the anchor takes {_words(known[table.places[0]])} and not {_words(known[groups[0][0]])}: "
        f"they are ranked in {table.folder}"
        for table in tables
    )
    return [DeviceTable(tuple(groups[0]), own, warnings=notes), *tables]


def _table(group: Sequence[str], measured: Sequence[MeasuredSubmission]) -> DeviceTable:
    rows = [one for one in measured if one.measurement.timing is not None and one.measurement.timing.place in group]
    # Names of places hold colons and spaces, which not every file system takes.
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", "+".join(map(_known_as, group)))[:100]
    return DeviceTable(tuple(group), rows, f"tables/{name}")


def _known_as(place: str) -> str:
    """Return the name of a place; times that were stored when the run had one device name none."""
    return place or "the device of an earlier start"


def _words(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.4g} to {interval[1]:.4g} ms"
