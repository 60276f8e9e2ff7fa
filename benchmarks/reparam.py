"""Compare the speed of the automatic inference form with that of the author's own, in one interleaved run.

Run from the checkout: python benchmarks/reparam.py [--models LRSRN RT4KSR] [--size 270 480] [--rounds 40]

Two copies of a network may differ by several per cent during the lifetime of a process, because the addresses of
weights and results differ. Therefore each round uses new copies after a random amount of other allocations, with the
memory settings of a worker. Ratios are those of medians. "A/A" is the ratio of the author's form to a copy of itself
in the same rounds. The time of the automatic collapse is given in forward passes of the given form, too.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.isolation.environment import MEMORY_SETTINGS
from harness.reparam import Search, reparameterize
from harness.worker.loader import load_network

ROOT = Path(__file__).resolve().parent.parent


def training_form(name: str, scale: int) -> nn.Module:
    """Build a model of the repository with random weights."""
    network = load_network(ROOT / "submissions" / name, "arch:srmodel", scale, None)
    for parameter in network.parameters():
        if parameter.dim() == 1:  # zero biases would permit more collapses than trained ones
            parameter.data.normal_(0.5, 0.1)
    return network


@torch.no_grad()
def timed(network: nn.Module, image: Tensor) -> float:
    """Return the time of one forward pass in seconds."""
    start = time.perf_counter()
    network(image)
    return time.perf_counter() - start


def compare(name: str, scale: int, size: tuple[int, int], rounds: int) -> None:
    """Print the medians of both forms and their ratio."""
    network = training_form(name, scale)
    frames = [torch.rand(1, 3, 96, 120)]
    author = reparameterize(network, frames=frames, search=Search(automatic=False))
    begin = time.perf_counter()
    automatic = reparameterize(network, hook="no hook", frames=frames)
    collapse_s = time.perf_counter() - begin
    given_s = min(timed(network, frames[0]) for _ in range(5))
    forms = {"author": author.network, "copy": author.network, "automatic": automatic.network}
    medians = {key: statistics.median(samples) for key, samples in interleaved(forms, size, rounds).items()}
    print(
        f"{name} x{scale}: {author.record.method} {author.record.params_after:,} parameters"
        f" {medians['author'] * 1e3:.2f} ms, {automatic.record.method} {automatic.record.params_after:,}"
        f" {medians['automatic'] * 1e3:.2f} ms, ratio {medians['automatic'] / medians['author']:.3f},"
        f" A/A {medians['copy'] / medians['author']:.3f}; collapsed in {collapse_s:.2f} s,"
        f" {collapse_s / given_s:.0f} passes of the given form over {frames[0].shape[3]} x {frames[0].shape[2]} pixels"
    )


def interleaved(forms: dict[str, nn.Module], size: tuple[int, int], rounds: int) -> dict[str, list[float]]:
    """Return the times in seconds of each form in each round, in random order and at random addresses."""
    samples: dict[str, list[float]] = {key: [] for key in forms}
    for _ in range(rounds):
        for key in random.sample(sorted(forms), len(forms)):
            ballast = [torch.empty(random.randrange(64, 4 << 20), dtype=torch.uint8) for _ in range(3)]
            network = copy.deepcopy(forms[key])
            image = torch.rand(1, 3, *size)
            timed(network, image)
            samples[key].append(timed(network, image))
            del ballast
    return samples


def main() -> None:
    """Compare the selected models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["LRSRN", "RT4KSR"])
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(270, 480))
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    if not MEMORY_SETTINGS.items() <= os.environ.items():  # they take effect only at the start of a process
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MEMORY_SETTINGS)
    torch.manual_seed(0)
    for name in options.models:
        compare(name, options.scale, tuple(options.size), options.rounds)


if __name__ == "__main__":
    main()
