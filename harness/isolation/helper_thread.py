"""Threads of the controller that serve one worker each.

What they do depends on the submission: one that prints much, or opens many files, keeps them busy. The time that they
take is therefore not regarded as a delay by others, see :mod:`harness.isolation.delays`.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from harness.isolation.processes import scheduled_s

_TASKS = Path("/proc/self/task")


class HelperThread(threading.Thread):
    """Thread whose processor time is known, also after it has ended."""

    _lock = threading.Lock()
    _ended_s = 0.0

    has_ended = False

    def run(self) -> None:
        """Call the target."""
        try:
            super().run()
        finally:
            with HelperThread._lock:
                HelperThread._ended_s += time.thread_time()
                self.has_ended = True

    @classmethod
    def total_s(cls) -> float:
        """Return the processor time that all helper threads have used so far, seconds; 0 if unknown."""
        with cls._lock:
            alive = [
                thread for thread in threading.enumerate() if isinstance(thread, HelperThread) and not thread.has_ended
            ]
            return cls._ended_s + sum(scheduled_s(_TASKS / str(thread.native_id))[0] for thread in alive)
