"""While one device of a machine times networks, nothing else works there."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness.machine.quiet import QuietHours


def test_nothing_overlaps_with_a_timing() -> None:
    hours, lock = QuietHours(), threading.Lock()
    working, timing, seen = 0, 0, []

    def change(work: int, quiet: int) -> None:
        nonlocal working, timing
        with lock:
            working, timing = working + work, timing + quiet
            seen.append((working, timing))

    def act(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(20):
            if rng.random() < 0.3:
                with hours.quiet():
                    change(0, 1)
                    with hours.work(), hours.work():  # what is timed is asked from the same thread
                        time.sleep(1e-4)
                    change(0, -1)
            else:
                with hours.work(), hours.work():
                    change(1, 0)
                    time.sleep(1e-4)
                    change(-1, 0)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(act, range(6)))
    assert max(quiet for _, quiet in seen) == 1
    assert all(work == 0 for work, quiet in seen if quiet)
    assert max(work for work, _ in seen) > 1


def test_what_works_is_paused_until_it_is_forgotten() -> None:
    hours, paused = QuietHours(), []
    hours.silence(1, lambda: paused.append("a"))
    hours.silence(2, lambda: paused.append("b"))
    with hours.quiet():
        assert paused == ["a", "b"]
    hours.forget(1)
    with hours.quiet():
        assert paused == ["a", "b", "b"]
