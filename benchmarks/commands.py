"""Measure how long commands take from the shell, in comparison with another version of the harness.

Run ``python benchmarks/commands.py --against CHECKOUT`` on an otherwise idle machine; it takes minutes. ``CHECKOUT`` is
a checkout of the version to compare with, such as ``git worktree add ../released v1.0``; both run in this environment.
Each command is executed in turn by both versions, and the medians are printed with their ratio: the help, the check of
a small submission, and a run of fifty submissions that repeats a finished one. Without ``--against``, only the medians
of this version are printed. The time of the page of a large run is measured by ``benchmarks/report.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
ARCH = """
from torch import nn


def srmodel(scale=2):
    head, tail = nn.Conv2d(3, {width}, 3, padding=1), nn.Conv2d({width}, 12, 3, padding=1)
    return nn.Sequential(head, nn.ReLU(), tail, nn.PixelShuffle(2))
"""
MANIFEST = '[submission]\nname = "Network {width}"\nscales = [2]\n'
RUN = "--scale 2 --dataset images --no-baselines --time-budget 0.05 --protocol ntire23-cpu --sandbox process"


def write_inputs(folder: Path, submissions: int) -> None:
    """Write networks of two layers that differ in width, and one small image."""
    for width in range(8, 8 + submissions):
        place = folder / "submissions" / f"network-{width}"
        place.mkdir(parents=True)
        (place / "arch.py").write_text(ARCH.format(width=width))
        (place / "submission.toml").write_text(MANIFEST.format(width=width))
    (folder / "images").mkdir()
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
    coarse.resize((256, 192), Image.Resampling.BICUBIC).save(folder / "images" / "one.png")


def seconds(checkout: Path, words: list[str], folder: Path) -> float:
    """Execute a command with the harness of a checkout and return its wall time, seconds."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    begin = time.perf_counter()
    command = [sys.executable, "-m", "harness", *words]
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True)
    elapsed = time.perf_counter() - begin
    if done.returncode not in (0, 1):  # 1: the check has found something, since the networks have no weights
        raise SystemExit(f"harness {' '.join(words)}: {done.stderr.decode()[-2000:]}")
    return elapsed


def summary(found: list[list[float]]) -> str:
    """Return the medians of the versions and the ratio of the first to the last, from the times of each trial."""
    medians = [statistics.median(column) for column in zip(*found, strict=True)]
    ratios = sorted(trial[0] / trial[-1] for trial in found)
    text = f"{medians[0]:.2f} s"
    if len(medians) > 1:
        text += f", other version {medians[1]:.2f} s, ratio {statistics.median(ratios):.2f}"
        text += f" ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return text


def main() -> None:
    """Print the medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="checkout of the version to compare with")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--submissions", type=int, default=50)
    options = parser.parse_args()
    versions = [ROOT] if options.against is None else [ROOT, options.against.resolve()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.submissions)
        commands = {
            "--help": ["--help"],
            "check of one network": ["check", "submissions/network-8", "--sandbox", "process"],
            f"{options.submissions} networks once more": ["run", "submissions", *RUN.split()],
        }
        for title, words in commands.items():
            is_run = words[0] == "run"
            each = {
                one: [*words, *(["--out", f"out{number}"] if is_run else [])] for number, one in enumerate(versions)
            }
            for one in versions:  # the first execution compiles bytecode, and measures what is repeated then
                seconds(one, each[one], folder)
            found = [[seconds(one, each[one], folder) for one in versions] for _ in range(options.trials)]
            print(f"{title}: {summary(found)}", flush=True)


if __name__ == "__main__":
    main()
