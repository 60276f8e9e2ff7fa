"""Whether two devices are equally fast, by the times of the anchor network on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from harness.results.measurement import TimingRecord
from harness.statistics.inference import student_reach
from harness.statistics.process_spread import ProcessSpread
from harness.statistics.runtime_summary import bootstrap_interval

Interval = tuple[float, float]


def anchor_interval(records: Sequence[TimingRecord], spread: ProcessSpread) -> Interval | None:
    """Return the 95 % interval of the anchor's time on one device, milliseconds; None without rounds.

    It is that of the median over all turns, widened by the spread between processes, of which the anchor has one for
    each timing.

    Parameters
    ----------
    records
        Timings on the device.
    spread
        Standard deviation between processes of one network: :func:`harness.statistics.runtime_summary.process_spread`.
    """
    turns = [ms for record in records for turn in record.rounds for ms in turn.anchor_ms]
    if not turns:
        return None
    values = np.array(turns, dtype=np.float64)
    middle = float(np.median(values))
    # `runtime_summary.joined` separates the names of several anchor processes by "+".
    processes = len({name for record in records for name in record.anchor.split("+")})
    own = spread.own.moderated()
    reach = student_reach(own.degrees) * own.relative / math.sqrt(processes)
    # Independent errors of the logarithm add in squares.
    low, high = (abs(math.log(end / middle)) for end in bootstrap_interval(values, "median"))
    return middle * math.exp(-math.hypot(low, reach)), middle * math.exp(math.hypot(high, reach))


def agreeing(intervals: Mapping[str, Interval]) -> list[list[str]]:
    """Return groups of devices of which any two have intervals that overlap, each device in one group.

    Parameters
    ----------
    intervals
        By device.
    """
    groups: list[list[str]] = []
    # In the order of the middles of the intervals, so that each device is compared with the last group only.
    for name in sorted(intervals, key=lambda name: (sum(intervals[name]), name)):
        group = groups[-1] if groups else []
        if group and all(_overlap(intervals[name], intervals[other]) for other in group):
            group.append(name)
        else:
            groups.append([name])
    return groups


def _overlap(one: Interval, other: Interval) -> bool:
    return max(one[0], other[0]) <= min(one[1], other[1])
