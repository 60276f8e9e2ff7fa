"""Keep a machine quiet while one of its devices times networks.

A process that uses several devices of a machine at the same time does all its work in :meth:`QuietHours.work` and all
its timing in :meth:`QuietHours.quiet`. Timing waits until what goes on has ended, and nothing begins meanwhile. The
unit of work is one request to a worker, the comparison of one image, or one check, so that timing does not wait long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class QuietHours:
    """A lock for one timing or for any amount of other work.

    A thread that holds it may take it again for work: within work, and within its timing. A timing within either waits
    for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._working = 0
        self._waiting = 0
        self._owner: int | None = None
        self._depth = threading.local()
        self._pausing: dict[int, Callable[[], None]] = {}

    @contextmanager
    def work(self) -> Iterator[None]:
        """Do a piece of work, after any timing that goes on or waits."""
        depth = getattr(self._depth, "value", 0)
        if depth or self._owner == threading.get_ident():
            yield
            return
        with self._changed:
            # A waiting timing has precedence; otherwise work of several threads could delay it without end.
            self._changed.wait_for(lambda: self._owner is None and not self._waiting)
            self._working += 1
        self._depth.value = depth + 1
        try:
            yield
        finally:
            self._depth.value = depth
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Time something: wait for the work that goes on, and pause everything that was passed to :meth:`silence`."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._owner is None and not self._working)
            finally:
                self._waiting -= 1
            self._owner = threading.get_ident()
            # A copy: other threads may add or remove functions while these are called without the lock.
            pausing = list(self._pausing.values())
        try:
            for pause in pausing:
                pause()
            yield
        finally:
            with self._changed:
                self._owner = None
                self._changed.notify_all()

    def silence(self, key: int, pause: Callable[[], None]) -> None:
        """Call `pause` before every timing from now on, until :meth:`forget` is called with the same key."""
        with self._changed:
            self._pausing[key] = pause

    def forget(self, key: int) -> None:
        """Remove the function that was passed to :meth:`silence` with this key."""
        with self._changed:
            self._pausing.pop(key, None)


QUIET_HOURS = QuietHours()
"""The lock of this machine. One process does all work of a run on a machine."""
