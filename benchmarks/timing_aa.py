"""How often equal networks are called different, and networks that differ by 5 % are not: an A/A and a power test.

Run ``python benchmarks/timing_aa.py [--comparisons N] [--budget SECONDS] [--device cuda] [--no-load]``. The same
network is registered twice, and once more with 5 % more rows to compute in every layer. Each comparison starts new
workers, because two processes of one network can differ too. Meanwhile another process loads one core on and off.
Beside the ``robust`` protocol's verdicts stands what the ``ntire23`` statistic (back to back, the mean of 244 calls)
would have shown.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.engines import Job, LocalEngine
from harness.isolation.session import Session
from harness.submissions.discovery import discover
from harness.timing import Contender, FrameSource, Rounds, TimeComparison, compare_times, protocol_for

ARCH = """
from torch import nn
from torch.nn import functional

EXTRA = {extra}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, padding=1)]
        for _ in range(4):
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
SIZE = (200, 320)
FULL_SIZE = (1080, 1920)  # on an accelerator, of which a smaller frame would fill a part
LEVEL = 0.05
APPARENT = 0.02
ANCHOR = Path(__file__).resolve().parent.parent / "harness" / "timing" / "anchor"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of A with its copy, of A with the larger network, and what the published statistic shows."""

    same: TimeComparison
    larger: TimeComparison
    published: float


def write_networks(folder: Path) -> dict[str, Path]:
    """Write the three submissions and return their folders by name."""
    for name, extra in (("A", 0), ("copy", 0), ("larger", 5)):
        (folder / name).mkdir()
        (folder / name / "arch.py").write_text(ARCH.format(extra=extra))
        (folder / name / "submission.toml").write_text(f'[submission]\nname = "{name}"\nscales = [2]\n')
    return {name: folder / name for name in ("A", "copy", "larger")}


def open_worker(stack: ExitStack, path: Path, threads: int, device: str) -> Session:
    """Start a worker."""
    (submission,) = discover([path], entry_points=False)
    protocol = protocol_for(device)
    job = Job(submission, 2, device, protocol.precision, threads, strict=True, sandbox="process")
    return stack.enter_context(LocalEngine().open(job))


def compare_once(networks: dict[str, Path], threads: int, budget_s: float, calls: int, device: str) -> Comparison:
    """Start workers, time in rounds, then once more as published."""
    rng = np.random.default_rng()
    size = SIZE if device == "cpu" else FULL_SIZE
    frames = FrameSource([rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(4)])
    with ExitStack() as stack:
        places = {**networks, "anchor": ANCHOR}
        workers = {name: open_worker(stack, path, threads, device) for name, path in places.items()}
        for worker in workers.values():
            worker.load()
            worker.pause()
        contenders = {name: Contender(name, workers[name]) for name in networks}
        anchor = Contender("anchor", workers["anchor"])
        protocol = protocol_for(device, budget_s=budget_s)
        rounds = Rounds(list(contenders.values()), anchor, frames, protocol, 2)
        rounds.run()
        for contender in contenders.values():
            if contender.error is not None:
                raise contender.error
        records = {name: contender.record(rounds.session) for name, contender in contenders.items()}
        means = [np.mean(publish(workers[name], frames, calls)) for name in ("A", "copy")]
    same, larger = (compare_times(records[name], records["A"]) for name in ("copy", "larger"))
    return Comparison(same, larger, float(means[1] / means[0]))


def publish(worker: Session, frames: FrameSource, calls: int) -> list[float]:
    """Time back to back on one frame, as the challenge's script does."""
    return list(worker.time([frames.fresh()], calls // 5, calls, calls, None, inputs="reused").samples_ms)


def _load(parent: int) -> None:
    rng = np.random.default_rng(parent)
    while os.getppid() == parent:  # a benchmark that was killed leaves no load behind
        end = time.monotonic() + rng.uniform(0.2, 3.0)
        while time.monotonic() < end:
            sum(range(1000))
        time.sleep(rng.uniform(0.2, 3.0))


@contextmanager
def load_on_and_off() -> Iterator[None]:
    """Keep one core busy for a while, idle for a while, until the block ends."""
    process = multiprocessing.get_context("spawn").Process(target=_load, args=(os.getpid(),), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()


def report(done: list[Comparison]) -> None:
    """Print the rates."""
    n = len(done)
    false = sum(one.same.p_value < LEVEL for one in done)
    found = sum(one.larger.p_value < LEVEL and one.larger.ratio > 1 for one in done)
    apparent = sum(abs(one.published - 1) > APPARENT for one in done)
    spread = np.std(np.log([one.same.ratio for one in done]))
    published = np.std(np.log([one.published for one in done]))
    rounds = np.median([one.same.rounds for one in done])
    print(f"{n} comparisons, {rounds:.0f} rounds each (median)")
    larger = np.median([one.larger.ratio for one in done])
    print(f"robust   same network called different: {false} of {n}; spread of the ratio {spread:.2%}")
    print(f"robust   5 % more work told apart:      {found} of {n}; median ratio {larger:.3f}")
    print(f"ntire23  same network differs by > 2 %: {apparent} of {n}; spread of the ratio {published:.2%}")


def main() -> None:
    """Run the comparisons and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=40)
    parser.add_argument("--budget", type=float, default=6.0, help="seconds for each network in a comparison")
    parser.add_argument("--calls", type=int, default=244, help="calls of the published statistic")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, or an accelerator as torch names it")
    parser.add_argument("--no-load", action="store_true")
    options = parser.parse_args()
    done: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.nullcontext() if options.no_load else load_on_and_off():
        networks = write_networks(Path(folder))
        for number in range(options.comparisons):
            one = compare_once(networks, options.threads, options.budget, options.calls, options.device)
            done.append(one)
            print(
                f"{number + 1:3}: {one.same.rounds} rounds   A/A {one.same.ratio:.4f} p = {one.same.p_value:.3f}   "
                f"+5 % {one.larger.ratio:.4f} p = {one.larger.p_value:.4f}   back to back {one.published:.4f}",
                flush=True,
            )
    report(done)


if __name__ == "__main__":
    main()
