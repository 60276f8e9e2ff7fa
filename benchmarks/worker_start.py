"""Time from the start of a worker to its first reply: forked and executed ones in turns.

``python -m benchmarks.worker_start`` prints the medians and their ratio for each confinement that works here.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

from harness.isolation import launcher
from harness.isolation.forked_worker import can_fork
from harness.isolation.job import Job
from harness.isolation.opening import open_session
from harness.isolation.sandbox import Sandbox, bwrap_problem
from harness.submissions.discovery import Submission, discover

_SUBMISSION = Path(__file__).parents[1] / "submissions" / "FSRCNN"


def main() -> None:
    """Start workers and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="starts of each kind")
    starts = parser.parse_args().starts
    (found,) = discover([_SUBMISSION], entry_points=False)
    if not isinstance(found, Submission):
        raise SystemExit(str(found))
    kinds: list[Sandbox] = ["process"] if bwrap_problem() else ["bwrap", "process"]
    print(f"{'confinement':12} {'executed, s':>12} {'forked, s':>10} {'ratio':>6}")
    for sandbox in kinds:
        job = Job(found, scale=2, sandbox=sandbox)
        _seconds(job, forked=True)  # starts the fork server
        seconds = [(_seconds(job, forked=False), _seconds(job, forked=True)) for _ in range(starts)]
        executed, forked = (median(one) for one in zip(*seconds, strict=True))
        print(f"{sandbox:12} {executed:12.2f} {forked:10.2f} {executed / forked:5.1f}x")


def _seconds(job: Job, *, forked: bool) -> float:
    launcher.can_fork = can_fork if forked else lambda _plan: False
    begin = time.perf_counter()
    with open_session(job) as session:
        session.load()
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
