"""Waiting for what another process or the kernel will do, however busy the machine is."""

import time
from collections.abc import Callable


def soon(condition: Callable[[], object], within_s: float = 60.0) -> bool:
    """Return whether a condition comes true; it is looked at fifty times a second."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
