"""Measure what further data sets of a run cost, in comparison with inference and metrics alone.

Run ``python benchmarks/several_datasets.py`` on an otherwise idle machine; it takes minutes. One network is measured
in a run with one data set and in a run with five, of five small images each. What the other four add to the stage that
upscales is divided by the time of the same forward passes and the same metrics in a loop without a harness, with the
images in memory, after one pass over them that is not timed. Both are repeated in turn, and the median of the ratios is
printed with its range.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from harness.data import get_degradation, open_dataset
from harness.pipeline import run
from harness.quality import evaluate_pair
from harness.run.plan import RunRequest

SETS, IMAGES = 5, 5
Pixels = NDArray[np.uint8]
ARCH = """
from torch import nn


def srmodel(scale=2):
    body = [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()] * 4
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *body, nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2))
"""


def make_sets(folder: Path, side: int) -> list[Path]:
    """Write the data sets: smooth images with a little noise, side x side pixels."""
    rng = np.random.default_rng(0)
    for number in range(SETS):
        target = folder / f"set{number}"
        target.mkdir()
        for index in range(IMAGES):
            coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(target / f"{index}.png")
    return [folder / f"set{number}" for number in range(SETS)]


def upscale_seconds(folder: Path, submission: Path, sets: list[Path], out: str) -> float:
    """Return how long the network upscaled and was compared in a run, seconds."""
    request = RunRequest(
        submissions=(submission,),
        dataset=str(sets[0]),
        further_datasets=tuple(map(str, sets[1:])),
        out=folder / out,
        scale=2,
        time_budget_s=0.2,
        processes=1,
        with_baselines=False,
        images="none",
    )
    (entry,) = run(request).run.entries
    return entry.stage_seconds["upscale"]


def bare_seconds(submission: Path, sets: list[Path]) -> float:
    """Return how long the forward passes and the metrics of the data sets after the first one take, seconds."""
    names: dict[str, object] = {}
    exec((submission / "arch.py").read_text(), names)  # the network above
    network: nn.Module = names["srmodel"]().eval()  # type: ignore[operator]
    pairs = [
        opened.pair(index)
        for path in sets[1:]
        for opened in [open_dataset(str(path), 2, get_degradation("ntire23"))]
        for index in range(IMAGES)
    ]
    _upscale_and_compare(network, pairs)  # compiles the metrics, as the run did for its first data set
    begin = time.perf_counter()
    _upscale_and_compare(network, pairs)
    return time.perf_counter() - begin


@torch.inference_mode()
def _upscale_and_compare(network: nn.Module, pairs: list[tuple[Pixels, Pixels]]) -> None:
    for lr, hr in pairs:
        given = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255
        output = network(given).mul(255).round().clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
        evaluate_pair(output, hr, scale=2)


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="side of the HR images, pixels")
    parser.add_argument("--trials", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = make_sets(folder, options.side)
        submission = folder / "network"
        submission.mkdir()
        (submission / "arch.py").write_text(ARCH)
        upscale_seconds(folder, submission, sets[:1], "first")  # compiles the metrics
        for trial in range(options.trials):
            one = upscale_seconds(folder, submission, sets[:1], f"one{trial}")
            five = upscale_seconds(folder, submission, sets, f"five{trial}")
            bare = bare_seconds(submission, sets)
            ratios.append((five - one) / bare)
            print(f"one data set {one:.3f} s, five {five:.3f} s, the other four alone {bare:.3f} s: {ratios[-1]:.2f}")
    print(f"ratio {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
