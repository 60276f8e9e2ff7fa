"""Time limit of the automatic collapse, whose duration grows with the square of the number of layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic  # bound before submitted code is imported

from harness.results.schema import CUT_SHORT

_LIMIT: ContextVar[tuple[float, float]] = ContextVar("limit", default=(math.inf, math.inf))


class OutOfTimeError(Exception):
    """The collapse takes too long; the network stays as it is."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Limit the time of what is called within the context; None for no limit."""
    # A context variable, so that threads have limits of their own.
    token = _LIMIT.set((math.inf, math.inf) if seconds is None else (seconds, monotonic() + seconds))
    try:
        yield
    finally:
        _LIMIT.reset(token)


def check_time() -> None:
    """Raise OutOfTimeError if the time has passed."""
    seconds, end = _LIMIT.get()
    if monotonic() >= end:
        raise OutOfTimeError(f"no inference form was found within {seconds:.3g} s, {CUT_SHORT}")
