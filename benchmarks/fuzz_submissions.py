"""Fuzz whole submissions: 20,000 made-up inboxes and workers, each of whose submissions must end as a row.

Run ``python benchmarks/fuzz_submissions.py [--examples N] [--seed N]``; runs with different seeds use several cores.
An example is an inbox of one to three folders, archives and files with made-up names, manifests, requirements, links,
pipes and nested folders, together with a worker whose reply to one operation is damaged, or at which the controller
raises an exception. Everything but the worker is the code of a run. A failing example is reduced by hypothesis and
printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from harness.engines import this_machine
from harness.machine.load import busy_share

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import strangers


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the examples and print how their rows ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    this_machine.busy_share = lambda: busy_share(0.001)
    outcomes, slowest = Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as folder:
        plan = strangers.base_plan(Path(folder))

        @seed(options.seed)
        @settings(max_examples=options.examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(trees=st.lists(strangers.trees, min_size=1, max_size=3), fault=strangers.faults)
        def examine(trees: list[strangers.Tree], fault: strangers.Fault | None) -> None:
            nonlocal slowest
            begin = time.perf_counter()
            run = strangers.check(plan, trees, fault)
            slowest = max(slowest, time.perf_counter() - begin)
            outcomes.update(f"{e.status} at {e.error.stage}" if e.error else e.status for e in run.entries)

        begin = time.perf_counter()
        examine()
    counts = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
    print(f"{options.examples} inboxes in {time.perf_counter() - begin:.0f} s, at most {slowest:.1f} s each: {counts}")


if __name__ == "__main__":
    main()
