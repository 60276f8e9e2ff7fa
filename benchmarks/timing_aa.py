"""A/A and power test of timing comparisons: rates of false positives and of detected differences of a few per cent.

Run ``python benchmarks/timing_aa.py [--comparisons N] [--budget SECONDS] [--processes N | --adaptive] [--device cuda]
[--no-load] [--more PERCENT ...]``. A network is registered twice, and again with a few per cent more rows to compute in
each layer, by default 5. They are timed in several processes, as by ``harness time``, because processes of the same
network differ as well. Meanwhile, another process loads one core intermittently. The results of the ``robust`` protocol
are printed together with the statistic of the ``ntire23`` protocol, the mean of 244 consecutive calls.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.results import TimingRecord
from harness.run.plan import Plan, RunRequest, make_plan
from harness.run.time_only import SubmissionTime, time_planned
from harness.statistics.compare_times import TimeComparison, compare_times

ARCH = """
from torch import nn
from torch.nn import functional

EXTRA = {extra}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, padding=1)]
        for _ in range(9):
            layers += [nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
        self.body = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        rows = x.shape[-2]
        if rows < 100:  # the small frames of the checks
            return self.body(x)
        return self.body(functional.pad(x, (0, 0, 0, rows * EXTRA // 100)))[:, :, : 2 * rows]


def srmodel():
    return Network()
"""
SIZE = (100, 160)  # activations of 1 MB; larger ones depend on caches that are shared with other virtual machines
FULL_SIZE = (1080, 1920)  # on accelerators, which a smaller frame would not fully utilize
LEVEL = 0.05
APPARENT = 0.02


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of A with its copy and with the larger networks, and the ratio by the published statistic."""

    same: TimeComparison
    larger: dict[int, TimeComparison]
    spread: float
    published: float


def write_networks(folder: Path, more: list[int]) -> None:
    """Write the network, its copy, and one with more work for each of `more`, per cent."""
    folder.mkdir()
    for name, extra in (("A", 0), ("copy", 0), *((f"larger{percent}", percent) for percent in more)):
        (folder / name).mkdir()
        (folder / name / "arch.py").write_text(f"# {name}\n" + ARCH.format(extra=extra))
        (folder / name / "submission.toml").write_text(f'[submission]\nname = "{name}"\nscales = [2]\n')


def plan_for(networks: Path, out: Path, options: argparse.Namespace, **changes: Any) -> Plan:
    """Plan to time the networks at a small size."""
    request = RunRequest(
        (networks,), scale=2, device=options.device, threads=options.threads, out=out, with_baselines=False, **changes
    )
    plan = make_plan(request)
    size = SIZE if plan.device.kind == "cpu" else FULL_SIZE
    return replace(plan, track=replace(plan.track, input_shape=(1, 3, *size)))


def compare_once(networks: Path, out: Path, options: argparse.Namespace) -> Comparison:
    """Time all networks in rounds in new processes, then A and its copy by the published protocol."""
    processes = None if options.adaptive else options.processes
    robust = plan_for(networks, out / "robust", options, time_budget_s=options.budget, processes=processes)
    times = time_planned(robust)
    records = {row.name: timing_of(row) for row in times.rows}
    as_published: dict[str, Any] = {"protocol": "ntire23", "exclude": ("larger*",)}
    if options.device == "cpu":  # where half precision is emulated
        as_published["precision"] = "fp32"
    published = plan_for(networks, out / "published", options, **as_published)
    means = [np.mean([ms for _, ms in timing_of(row).samples]) for row in time_planned(published).rows]
    same = compare_times(records["copy"], records["A"], times.spread)
    larger = {
        percent: compare_times(records[f"larger{percent}"], records["A"], times.spread) for percent in options.more
    }
    return Comparison(same, larger, times.spread.paired.relative, float(means[1] / means[0]))


def timing_of(row: SubmissionTime) -> TimingRecord:
    """Return the timing of a row; exit with its error if there is none."""
    if row.timing is None or row.error is not None:
        raise SystemExit(f"{row.name}: {row.error.message if row.error else 'not timed'}")
    return row.timing


def _load(parent: int) -> None:
    rng = np.random.default_rng(parent)
    while os.getppid() == parent:  # end if the benchmark was killed
        end = time.monotonic() + rng.uniform(0.2, 3.0)
        while time.monotonic() < end:
            sum(range(1000))
        time.sleep(rng.uniform(0.2, 3.0))


@contextmanager
def load_on_and_off() -> Iterator[None]:
    """Load one core intermittently within the context."""
    process = multiprocessing.get_context("spawn").Process(target=_load, args=(os.getpid(),), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()


def report(done: list[Comparison]) -> None:
    """Print the detection rates."""
    n = len(done)
    false = sum(one.same.p_value < LEVEL for one in done)
    apparent = sum(abs(one.published - 1) > APPARENT for one in done)
    spread = np.std(np.log([one.same.ratio for one in done]))
    published = np.std(np.log([one.published for one in done]))
    rounds = np.median([one.same.rounds for one in done])
    processes = np.median([one.spread for one in done])
    print(f"{n} comparisons, {rounds:.0f} rounds each, processes differ by {processes:.2%} (medians)")
    print(f"robust   same network reported as different: {false} of {n}; spread of the ratio {spread:.2%}")
    for percent in done[0].larger:
        found = sum(one.larger[percent].p_value < LEVEL and one.larger[percent].ratio > 1 for one in done)
        ratio = np.median([one.larger[percent].ratio for one in done])
        print(f"robust   {percent} % more work detected:             {found} of {n}; median ratio {ratio:.3f}")
    print(f"ntire23  same network differs by > 2 %:      {apparent} of {n}; spread of the ratio {published:.2%}")


def main() -> None:
    """Run the comparisons and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=40)
    parser.add_argument("--budget", type=float, default=8.0, help="seconds for each network in a comparison")
    parser.add_argument("--processes", type=int, default=8, help="of each network, which share the budget")
    parser.add_argument("--adaptive", action="store_true", help="as many processes as a run gives each network")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, or an accelerator as torch names it")
    parser.add_argument("--keep", type=Path, help="folder for all measurements")
    parser.add_argument("--more", type=int, nargs="+", default=[5], help="work of the larger networks, per cent")
    parser.add_argument("--no-load", action="store_true")
    options = parser.parse_args()
    done: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.nullcontext() if options.no_load else load_on_and_off():
        write_networks(Path(folder) / "networks", options.more)
        for number in range(options.comparisons):
            begin = time.monotonic()
            one = compare_once(Path(folder) / "networks", (options.keep or Path(folder)) / f"{number:02}", options)
            done.append(one)
            larger = "   ".join(
                f"+{percent} % {found.ratio:.4f} p = {found.p_value:.4f}" for percent, found in one.larger.items()
            )
            print(
                f"{number + 1:3}: {one.same.rounds} rounds   A/A {one.same.ratio:.4f} p = {one.same.p_value:.3f}   "
                f"{larger}   back to back {one.published:.4f}   "
                f"processes differ by {one.spread:.2%}   ({time.monotonic() - begin:.0f} s)",
                flush=True,
            )
    report(done)


if __name__ == "__main__":
    main()
