"""How often honest networks are taken for cheats: the whole of `submissions/` and the baselines, run again and again.

Run ``python benchmarks/honest.py [--runs N] [--protocol NAME] [--budget SECONDS]``. Frames are small, so that a run
takes a minute or two; workers are those of a real run. Every row that is disqualified or fails is printed.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import harness.plan
from harness.pipeline import run
from harness.plan import RunRequest
from harness.tracks import track_for_scale

ROOT = Path(__file__).resolve().parent.parent
SIZE = (180, 320)


def small_track(scale: int) -> harness.plan.Track:
    """Return the track of a scale with a small timed frame."""
    return replace(track_for_scale(scale), input_shape=(1, 3, *SIZE))


def flags_of_one_run(protocol: str, budget_s: float, number: int) -> tuple[int, list[str]]:
    """Run all, and return how many rows were timed and what was flagged."""
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest(
            submissions=(ROOT / "submissions",),
            out=Path(folder),
            device="cpu",
            protocol=protocol,
            time_budget_s=budget_s,
            images="none",
        )
        entries = run(request).run.entries
    flagged = [
        f"run {number}: {entry.name}: {entry.status}: {entry.error.message}"
        for entry in entries
        if entry.error is not None and entry.status in {"failed", "disqualified"}
    ]
    return sum(entry.runtime_ms is not None for entry in entries), flagged


def main() -> None:
    """Run, and print what was flagged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--protocol", default="robust")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each network")
    options = parser.parse_args()
    harness.plan.track_for_scale = small_track
    timed, flagged = 0, 0
    for number in range(1, options.runs + 1):
        rows, flags = flags_of_one_run(options.protocol, options.budget, number)
        timed, flagged = timed + rows, flagged + len(flags)
        for flag in flags:
            print(flag, flush=True)
        print(f"after {number} run(s): {timed} rows timed, {flagged} flagged", flush=True)


if __name__ == "__main__":
    main()
