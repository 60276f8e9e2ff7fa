"""Check that workers do not use the processor between requests, which would slow other networks down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.timing.checks import disqualify
from harness.timing.timed_worker import TimedWorker

# Seconds to wait and to measure; the second measurement is made only where the first one finds a busy worker.
_MEASUREMENTS_S = ((0.03, 0.15), (0.5, 0.5))
# On a busy machine a worker that spins may get no more than this; one that waits for a request uses none.
_CORES = 0.05

Clock = Callable[[], float]
Sleep = Callable[[float], None]


def check_idle(worker: TimedWorker, clock: Clock = time.monotonic, sleep: Sleep = time.sleep) -> None:
    """Disqualify a worker that uses the processor between requests.

    Parameters
    ----------
    worker
        The worker. It is stopped afterwards.
    clock
        Returns the seconds of a monotonic clock.
    sleep
        Waits so many seconds of that clock.
    """
    measurements = []
    for settling_s, length_s in _MEASUREMENTS_S:
        (cores,) = _idle_cores([worker], settling_s, length_s, clock, sleep)
        if cores < _CORES:
            return
        measurements.append(cores)
    disqualify(
        f"it keeps {min(measurements):.2g} core(s) busy while it has nothing to do, which slows others; it was stopped "
        "during their turns"
    )


def seem_busy(workers: Sequence[TimedWorker], clock: Clock = time.monotonic, sleep: Sleep = time.sleep) -> list[bool]:
    """Return which of several workers seem to use the processor between requests, measured at the same time.

    Parameters
    ----------
    workers, clock, sleep
        As in :func:`check_idle`, which measures again.
    """
    return [cores >= _CORES for cores in _idle_cores(workers, *_MEASUREMENTS_S[0], clock, sleep)]


def _idle_cores(
    workers: Sequence[TimedWorker], settling_s: float, length_s: float, clock: Clock, sleep: Sleep
) -> list[float]:
    """Let workers run without a request, and return how many cores each of them uses; 0 if unknown."""
    if not workers:
        return []
    try:
        measured = [worker.let_run() for worker in workers]
        sleep(settling_s)  # thread pools spin for a moment after their work
        before = [(worker.cpu_s(), clock()) for worker in workers]
        sleep(length_s)
        after = [(worker.cpu_s(), clock()) for worker in workers]
    finally:
        for worker in workers:
            worker.pause()
    cores = []
    for own, (first_s, begin_s), (last_s, end_s) in zip(measured, before, after, strict=True):
        is_known = own and first_s is not None and last_s is not None
        cores.append(max(0.0, last_s - first_s) / (end_s - begin_s) if is_known else 0.0)  # type: ignore[operator]
    return cores
