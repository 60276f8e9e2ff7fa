"""Compare two versions of the harness: the main command, stage by stage.

Run ``python benchmarks/two_versions.py --against CHECKOUT`` on an otherwise idle machine; it takes half an hour.
``CHECKOUT`` is a checkout of the version to compare with, as for ``benchmarks/commands.py``. Both versions run
``harness run submissions --scale 2`` in turn, three times each, with this Python environment. Wall times, seconds by
stage, and half-widths of the runtimes' intervals are printed with the ratio of this version to the other, from medians
over the runs. ``--save FILE`` keeps the raw figures of all runs as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Run = dict[str, Any]


def measure(tree: Path, out: Path, options: list[str]) -> Run:
    """Execute the main command of one version and return its figures.

    Parameters
    ----------
    tree
        Folder of the version.
    out
        Folder for the run.
    options
        Further options of the command.
    """
    command = [sys.executable, "-m", "harness", "run", "submissions", "--scale", "2", "--out", str(out), *options]
    begin = time.perf_counter()
    subprocess.run(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, check=True, capture_output=True)
    wall_s = time.perf_counter() - begin
    rows = [row for row in json.loads((out / "results.json").read_bytes())["entries"] if row["runtime_ms"]]
    stages: dict[str, float] = {}
    for row in rows:
        for stage, seconds in row["stage_seconds"].items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    return {
        "wall_s": wall_s,
        "stage_s": stages,
        "time_s": {row["name"]: row["stage_seconds"].get("time", 0.0) for row in rows},
        "runtime_ms": {row["name"]: row["runtime_ms"]["median"] for row in rows},
        "ci_ms": {row["name"]: row["runtime_ms"]["ci"] for row in rows},
        "ranked": [row["name"] for row in rows if row["kind"] == "submission"],
    }


def half_width(run: Run, name: str) -> float:
    """Return half of the 95 % interval of a runtime, as a fraction of it."""
    low, high = run["ci_ms"][name]
    return float((high - low) / 2 / run["runtime_ms"][name])


def print_ratio(label: str, new: list[Run], old: list[Run], figure: Callable[[Run], float]) -> None:
    """Print the medians of a figure over the runs of both versions, and their ratio."""
    values = [median(figure(run) for run in runs) for runs in (new, old)]
    ratio = f"{values[0] / values[1]:8.2f}" if values[1] else "       -"
    print(f"{label:32}{values[0]:10.2f}{values[1]:10.2f}{ratio}")


def print_comparison(new: list[Run], old: list[Run], fastest: int) -> None:
    """Print all ratios."""

    def speed(name: str) -> float:
        return float(median(run["runtime_ms"][name] for run in old))

    print(f"{'medians':32}{'this':>10}{'other':>10}{'ratio':>8}")
    print_ratio("wall, s", new, old, lambda run: float(run["wall_s"]))
    for stage in old[0]["stage_s"]:
        print_ratio(f"{stage}, s", new, old, lambda run, stage=stage: float(run["stage_s"].get(stage, 0.0)))  # type: ignore[misc]
    for name in old[0]["time_s"]:
        print_ratio(f"time of {name}, s", new, old, lambda run, name=name: float(run["time_s"].get(name, 0.0)))  # type: ignore[misc]
    names = sorted(old[0]["ranked"], key=speed)[:fastest]
    for name in names:
        print_ratio(f"half-width of {name}, %", new, old, lambda run, name=name: 100 * half_width(run, name))  # type: ignore[misc]
    print_ratio(
        f"half-width of these {len(names)}, %",
        new,
        old,
        lambda run: 100 * median(half_width(run, name) for name in names),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="checkout of the version to compare with")
    parser.add_argument("--runs", type=int, default=3, help="runs of each version")
    parser.add_argument("--fastest", type=int, default=8, help="submissions whose intervals are compared")
    parser.add_argument("--save", type=Path, help="file for the raw figures")
    parser.add_argument("options", nargs="*", help="further options of harness run, after --")
    given = parser.parse_args()
    figures: dict[str, list[Run]] = {"this": [], "other": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.runs):
            for name, tree in (("this", ROOT), ("other", given.against.resolve())):
                figures[name].append(measure(tree, Path(folder) / f"{name}-{number}", given.options))
                print(f"{name} {number}: {figures[name][-1]['wall_s']:.0f} s", flush=True)
    print_comparison(figures["this"], figures["other"], given.fastest)
    if given.save:
        about = {"machine": platform.machine(), "processors": os.cpu_count(), "python": platform.python_version()}
        given.save.parent.mkdir(parents=True, exist_ok=True)
        given.save.write_text(json.dumps({"about": about, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
