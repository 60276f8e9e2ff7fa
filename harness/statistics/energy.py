"""Energy of one forward pass from the energy of whole turns."""

from __future__ import annotations

import numpy as np

from harness.results.measurement import TimingRecord
from harness.results.schema import Energy
from harness.statistics.inference import for_few_values
from harness.statistics.process_spread import block_resamples

_MIN_TURNS = 5
"""Counters advance in steps, and an interval needs several turns."""


def energy_of(record: TimingRecord | None) -> Energy | None:
    """Return the energy of a call with its interval; None if fewer than five turns have one.

    The energy of all turns is divided by the number of their calls, because a counter that advances in steps gives too
    little to one turn and too much to the next. The interval is a percentile bootstrap over blocks of turns, widened to
    Student's t.
    """
    turns = [turn for turn in record.rounds if turn.energy_j is not None] if record is not None else []
    joules = np.array([turn.energy_j for turn in turns], dtype=np.float64)
    calls = np.array([turn.calls for turn in turns], dtype=np.float64)
    if len(turns) < _MIN_TURNS or not joules.sum() > 0 or (joules < 0).any():
        return None
    # Indices are resampled, so that the energy of a turn stays with the number of its calls.
    drawn = block_resamples(np.arange(len(turns), dtype=np.float64), len(turns), np.random.default_rng(0)).astype(int)
    low, high = np.percentile(joules[drawn].sum(axis=1) / calls[drawn].sum(axis=1), [2.5, 97.5])
    value = float(joules.sum() / calls.sum())
    return Energy(joules=value, ci=for_few_values(value, (float(low), float(high)), len(turns)), turns=len(turns))
