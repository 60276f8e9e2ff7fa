"""What disturbed the timing of a run: load, throttling, processes that differ, networks that did not settle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.results.measurement import GpuReading, TimingRecord
from harness.results.rounds import is_throttled
from harness.results.run_folder import RunFolder
from harness.results.run_info import Disturbance, ProcessSpreadInfo
from harness.results.schema import Entry
from harness.statistics.runtime_summary import LOAD_LIMIT

SPREAD_LIMIT = 0.05
"""Relative standard deviation between processes of one network; on bound cores of an idle machine it is about 1 %."""
_MOST_NAMES = 3


def find_disturbances(
    entries: Sequence[Entry], records: Sequence[TimingRecord], spread: ProcessSpreadInfo | None
) -> list[Disturbance]:
    """Return what makes the times of a run doubtful, with what to do about it; empty for a quiet run.

    Parameters
    ----------
    entries
        The rows of the run.
    records
        The timings of its networks.
    spread
        What processes of one network differed by; None if each network had one.
    """
    found = [_load(records), _throttling(records), _spread(spread), _unsettled(entries)]
    return [one for one in found if one is not None]


def foreign_load(records: Iterable[TimingRecord]) -> float | None:
    """Return the largest share of all cores that other programs used when a timing began; None if unknown."""
    return max((record.busy for record in records if record.busy is not None), default=None)


def disturbances_of(folder: RunFolder) -> list[Disturbance]:
    """Return the disturbances of a stored run; those of earlier releases are found in its samples.

    Raises
    ------
    ResultsError
        A file of samples is damaged.
    """
    # Older files lack this field. An empty list means a run without disturbances.
    if folder.run.disturbances is not None:
        return folder.run.disturbances
    return find_disturbances(folder.run.entries, _records(folder), folder.run.process_spread)


def foreign_load_of(folder: RunFolder) -> float | None:
    """Return the foreign load of a stored run; that of a run of an earlier release is found in its samples.

    Raises
    ------
    ResultsError
        A file of samples is damaged.
    """
    if folder.run.disturbances is not None:
        return folder.run.foreign_load
    return foreign_load(_records(folder))


def _records(folder: RunFolder) -> list[TimingRecord]:
    found = (folder.timing(entry.slug) for entry in folder.run.entries if entry.runtime_ms is not None)
    return [record for record in found if record is not None]


def _load(records: Sequence[TimingRecord]) -> Disturbance | None:
    most = foreign_load(records)
    if most is None or most <= LOAD_LIMIT:
        return None
    count = sum(record.busy is not None and record.busy > LOAD_LIMIT for record in records)
    return Disturbance(
        kind="load",
        text=f"Other programs used up to {most:.0%} of the processor when the timing of {count} of {len(records)} "
        "networks began.",
        advice="End them, check with `harness doctor`, and run again.",
    )


def _throttling(records: Sequence[TimingRecord]) -> Disturbance | None:
    readings = [reading for record in records for reading in _readings(record)]
    hot = [reading for reading in readings if is_throttled(reading.slowed_by)]
    if not hot:
        return None
    reasons = ", ".join(sorted({why for reading in hot for why in reading.slowed_by}))
    return Disturbance(
        kind="throttling",
        text=f"The card was throttled at {len(hot)} of {len(readings)} readings ({reasons}).",
        advice="Cool it or lower its clock, and run again.",
    )


def _readings(record: TimingRecord) -> list[GpuReading]:
    return [*record.card, *(turn.card for turn in record.rounds if turn.card is not None)]


def _spread(spread: ProcessSpreadInfo | None) -> Disturbance | None:
    if spread is None or spread.relative <= SPREAD_LIMIT:
        return None
    return Disturbance(
        kind="spread",
        text=f"Processes that ran the same network differ by {spread.relative:.0%} (standard deviation).",
        advice="Run on an idle machine with bound cores, and with more processes (`--processes`).",
    )


def _unsettled(entries: Sequence[Entry]) -> Disturbance | None:
    timed = [entry for entry in entries if entry.runtime_ms is not None]
    loose = [entry.name for entry in timed if entry.runtime_ms is not None and not entry.runtime_ms.stable]
    if not loose:
        return None
    names = ", ".join(loose[:_MOST_NAMES]) + (f" and {len(loose) - _MOST_NAMES} more" if loose[_MOST_NAMES:] else "")
    return Disturbance(
        kind="unsettled",
        text=f"The times of {len(loose)} of {len(timed)} networks did not settle: {names}.",
        advice="Give each more time (`--time-budget`) and more processes (`--processes`).",
    )
