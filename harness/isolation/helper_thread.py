"""Threads of the controller that serve one worker each.

What they do depends on the submission: one that prints much, or opens many files, keeps them busy. The time that they
take is therefore not regarded as a delay of their own worker by others, see :mod:`harness.isolation.delays`.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from harness.isolation.processes import scheduled_s

_TASKS = Path("/proc/self/task")


class HelperThread(threading.Thread):
    """Thread whose processor time is known, also after it has ended."""

    _ended_s: float | None = None

    def run(self) -> None:
        """Call the target."""
        try:
            super().run()
        finally:
            self._ended_s = time.thread_time()

    def used_s(self) -> float:
        """Return the processor time that the thread has used so far, seconds; 0 if unknown."""
        # The number of a thread that has ended may belong to another one.
        running_s = scheduled_s(_TASKS / str(self.native_id))[0] if self.is_alive() else 0.0
        return running_s if self._ended_s is None else self._ended_s
