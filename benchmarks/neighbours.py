"""Measure the effect of a cheating network on other networks that are timed in the same rounds.

Run ``python benchmarks/neighbours.py [--trials N] [--budget SECONDS] [--processes N]`` on an otherwise idle machine.
In each trial, an honest network is timed twice in rounds, as by ``harness time``: once with a network that keeps a
core busy and once with a quiet one, in alternating order. Its runtimes relative to the anchor are printed with 95 %
intervals, which include the variation between processes, and so is the number of trials in which the two intervals do
not overlap.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.errors import DISQUALIFIED
from harness.run.plan import RunRequest, make_plan
from harness.run.time_only import time_planned
from harness.statistics.inference import log_interval
from harness.statistics.process_spread import log_times, midmean_of_medians
from harness.statistics.runtime_summary import relative_times

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from zoo.build import build_zoo

SIZE = (100, 160)  # as in timing_aa.py
HONEST = "honest_trained"
NEIGHBOURS = {"spinning": "spins_other_cores", "quiet": "honest_nearest"}


@dataclass(frozen=True)
class Timed:
    """Runtime of the honest network relative to the anchor, its interval, and whether the other network was flagged."""

    ratio: float
    low: float
    high: float
    neighbour: str


def time_beside(folders: dict[str, Path], neighbour: str, out: Path, options: argparse.Namespace) -> Timed:
    """Time the honest network together with another network."""
    request = RunRequest(
        (folders[HONEST], folders[neighbour]),
        scale=2,
        device="cpu",
        threads=1,
        out=out,
        with_baselines=False,
        time_budget_s=options.budget,
        processes=options.processes,
    )
    plan = make_plan(request)
    times = time_planned(replace(plan, track=replace(plan.track, input_shape=(1, 3, *SIZE))))
    rows = {planned.submission.slug: row for planned, row in zip(plan.submissions, times.rows, strict=True)}
    honest = rows.pop(HONEST)
    (other,) = rows.values()
    if honest.timing is None or honest.error is not None:
        raise SystemExit(f"{HONEST}: {honest.error.message if honest.error else 'not timed'}")
    pace = relative_times(honest.timing, times.spread)
    low, high = (math.exp(end) for end in log_interval(pace))
    flagged = other.error is not None and other.error.type == DISQUALIFIED
    return Timed(math.exp(midmean_of_medians(log_times(pace))), low, high, "disqualified" if flagged else "not flagged")


def main() -> None:
    """Run the trials and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--budget", type=float, default=12.0, help="seconds for each network")
    parser.add_argument("--processes", type=int, default=6, help="of each network, which share the budget")
    options = parser.parse_args()
    apart, changes = 0, []
    with tempfile.TemporaryDirectory() as place:
        built = {case.folder: case.path for case in build_zoo(Path(place) / "zoo")}
        folders = {name: built[name] for name in (HONEST, *NEIGHBOURS.values())}
        for number in range(options.trials):
            order = list(NEIGHBOURS) if number % 2 else list(reversed(NEIGHBOURS))
            found = {
                kind: time_beside(folders, NEIGHBOURS[kind], Path(place) / f"{number}-{kind}", options)
                for kind in order
            }
            spinning, quiet = found["spinning"], found["quiet"]
            touch = spinning.low <= quiet.high and quiet.low <= spinning.high
            apart += not touch
            changes.append(spinning.ratio / quiet.ratio - 1)
            for kind, one in found.items():
                print(f"{number + 1:3}: beside the {kind:8} {one.ratio:.4f} [{one.low:.4f}, {one.high:.4f}]", end="  ")
            print("" if touch else "apart", f"({spinning.neighbour})", flush=True)
    print(f"apart in {apart} of {options.trials}; the median change is {np.median(changes):+.2%}")


if __name__ == "__main__":
    main()
