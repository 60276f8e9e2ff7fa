"""A suspicion by time, confirmed by repetition before it becomes a foul: a busy machine is slow when it likes.

On a CPU the time that is saved must be work that is saved. A network that waited for the processor in one call and
not in another took as much processor time in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.timing.contender import Image, Timed

_SHARE = 0.5
_LEAST_MS = 2.0
_WORK_SHARE = 1 / 3
_FEWEST_PAIRS, _MOST_PAIRS = 3, 7


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call took.

    Attributes
    ----------
    ms
        Milliseconds, as reported.
    work_ms
        Processor time of the worker for the whole request, milliseconds; None where nobody can tell, or where the
        work is done elsewhere.
    """

    ms: float
    work_ms: float | None = None


Again = Callable[[], tuple[Cost, Cost]]
"""Measures what is suspected and what it is compared with, one right after the other."""


def cost_of_call(
    worker: Timed, frame: Image, *, on_cpu: bool, calls: int = 1, inputs: Literal["fresh", "reused"] = "fresh"
) -> Cost:
    """Time a call on `frame` (H x W x 3, uint8), or the middle one of several, and what the processor did for all."""
    before = worker.cpu_s()
    ms = float(np.median(worker.time([frame], 0, calls, calls, None, inputs=inputs).samples_ms))
    after = worker.cpu_s()
    worker.pause()
    if not on_cpu or before is None or after is None:
        return Cost(ms)
    return Cost(ms, 1e3 * (after - before))


def much_faster(one_ms: float, other_ms: float) -> bool:
    """Tell whether `one_ms` is less than half of the other, and by more than two milliseconds."""
    return one_ms < _SHARE * other_ms and other_ms - one_ms > _LEAST_MS


def confirm_speedup(suspected_ms: float, others_ms: Sequence[float], again: Again) -> tuple[float, float] | None:
    """Return the fastest times of both kinds, where repetition bears out that one is much faster; None otherwise.

    Parameters
    ----------
    suspected_ms
        Time of the call that may have been too fast.
    others_ms
        Times that it is compared with.
    again
        Called up to seven times. The fastest calls are compared, because what else the machine does can only slow
        one down; from the third pair on, one look that is not suspicious ends it.
    """
    if not others_ms or not much_faster(suspected_ms, float(np.median(others_ms))):
        return None
    pairs: list[tuple[Cost, Cost]] = []
    while len(pairs) < _MOST_PAIRS:
        pairs.append(again())
        one, other = (min(pair[side].ms for pair in pairs) for side in (0, 1))
        if len(pairs) >= _FEWEST_PAIRS and not (much_faster(one, other) and _work_is_saved(pairs)):
            return None
    return one, other


def _work_is_saved(pairs: Sequence[tuple[Cost, Cost]]) -> bool:
    """Tell whether the faster one of a typical pair takes a good deal less processor time, the harness's included."""
    works = [(one.work_ms, other.work_ms) for one, other in pairs]
    known = [(one, other) for one, other in works if one is not None and other is not None]
    if not known:
        return True
    saved = float(np.median([other - one for one, other in known]))
    return saved > max(_LEAST_MS, _WORK_SHARE * float(np.median([other for _, other in known])))
