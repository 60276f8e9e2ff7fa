"""Re-measure a suspicious speed-up before disqualifying, because load on the machine can cause one.

On a CPU, time that a cheat saves must also be processor time that it saves. A network that waited for the processor in
one call and not in another used as much processor time in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.timing.frames import Image
from harness.timing.strips import Strips
from harness.timing.timed_worker import TimedWorker

_MUCH_FASTER = 0.5  # of the other time
# Smaller savings are not counted and stay undetected, see docs/decisions/008-confirm-suspected-speedups.md.
_MIN_SAVED_MS = 2.0
_MIN_SAVED_CPU_SHARE = 1 / 3
_MIN_PAIRS, _MAX_PAIRS = 3, 7


@dataclass(frozen=True, slots=True)
class CallTime:
    """Time of one call.

    Attributes
    ----------
    ms
        Milliseconds, as reported by the worker.
    cpu_ms
        Processor time of the worker for the whole request, milliseconds. None where it is unknown, or where the
        network does not run on the processor.
    strips
        Parts of the output of the first call; None if unknown.
    """

    ms: float
    cpu_ms: float | None = None
    strips: Strips | None = None


MeasurePair = Callable[[], tuple[CallTime, CallTime]]
"""Measure a suspected call and the call that it is compared with, one right after the other."""


def time_call(
    worker: TimedWorker, frame: Image, *, on_cpu: bool, calls: int = 1, inputs: Literal["fresh", "reused"] = "fresh"
) -> CallTime:
    """Time calls, and the processor time that they take.

    Parameters
    ----------
    worker
        Process that runs the network.
    frame
        Input, H x W x 3, uint8.
    on_cpu
        Whether the network runs on the processor.
    calls
        How many calls to make.
    inputs
        Whether calls after the first get `frame` again or variations of it.

    Returns
    -------
    CallTime
        Median of the calls' times, and the processor time of all of them.
    """
    before = worker.cpu_s()
    reply = worker.time([frame], 0, calls, calls, None, inputs=inputs)
    ms = float(np.median(reply.samples_ms))
    after = worker.cpu_s()
    worker.pause()
    if not on_cpu or before is None or after is None:
        return CallTime(ms, None, reply.strips[0])
    return CallTime(ms, 1e3 * (after - before), reply.strips[0])


def is_much_faster(one_ms: float, other_ms: float) -> bool:
    """Return whether `one_ms` is less than half of `other_ms` and more than two milliseconds shorter."""
    return one_ms < _MUCH_FASTER * other_ms and other_ms - one_ms > _MIN_SAVED_MS


def confirm_speedup(
    suspected_ms: float, others_ms: Sequence[float], measure_pair: MeasurePair
) -> tuple[float, float] | None:
    """Return the times of a suspicious speed-up if repeated measurements confirm it.

    The fastest calls of either kind are compared, because load can only slow a call down. The speed-up must hold from
    the third pair to the seventh; one pair after which it does not ends the test.

    Parameters
    ----------
    suspected_ms
        Time of the call that may be too fast.
    others_ms
        Times that it is compared with. With none, nothing can be confirmed.
    measure_pair
        Called up to seven times, and only if the given times are suspicious.

    Returns
    -------
    tuple of float, or None
        Fastest repeated times of the suspected call and of the other one, milliseconds; None if not confirmed.
    """
    if not others_ms or not is_much_faster(suspected_ms, float(np.median(others_ms))):
        return None
    pairs: list[tuple[CallTime, CallTime]] = []
    while len(pairs) < _MAX_PAIRS:
        pairs.append(measure_pair())
        # Minima over all pairs so far, because load can only slow a call down.
        one, other = (min(pair[side].ms for pair in pairs) for side in (0, 1))
        if len(pairs) >= _MIN_PAIRS and not (is_much_faster(one, other) and _saves_cpu_time(pairs)):
            return None
    return one, other


def _saves_cpu_time(pairs: Sequence[tuple[CallTime, CallTime]]) -> bool:
    """Return whether the suspected call of a typical pair takes a good deal less processor time; True if unknown.

    The processor time includes the harness's own work for the request, which is the same for both.
    """
    both = [(one.cpu_ms, other.cpu_ms) for one, other in pairs]
    known = [(one, other) for one, other in both if one is not None and other is not None]
    if not known:
        return True
    saved = float(np.median([other - one for one, other in known]))
    return saved > max(_MIN_SAVED_MS, _MIN_SAVED_CPU_SHARE * float(np.median([other for _, other in known])))
