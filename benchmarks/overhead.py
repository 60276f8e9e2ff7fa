"""Measure the overhead of the harness: a run of ten models in comparison with inference, and a run without changes.

Run ``python benchmarks/overhead.py`` on an otherwise idle machine; it takes five minutes. The ten models are this
project's own, except the one whose single call exceeds the time budget. ``--tiny`` uses ten networks of two layers
instead. This is the worst case because the share of overhead increases as computation decreases.

First, the wall time of a run with the default protocol and time budget is decomposed into:

inference
    Time inside forward passes: warm-up and timed calls of the networks and the anchor, according to the workers'
    clocks, and an estimate for upscaled images from the time per pixel.
preparing
    Time that the controller waits while workers start (import torch), load networks, verify reparameterizations, count
    operations and measure memory.
workers' rest
    Time other than inference while the controller waits for a timing or an image: transferring and converting frames,
    copying, checking and rounding outputs. Also printed as a share of inference.
controller
    Remaining time, in which no worker has a request: creating frames, pausing and resuming workers, reading images,
    quality metrics, statistics, files and the report. Also printed as a share of inference.

Second, the wall time of a repeated command over fifty unchanged submissions is measured, including the start of the
interpreter and imports.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from harness.data import get_degradation, open_dataset
from harness.engines import Job, LocalEngine
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.pipeline import run
from harness.run.plan import RunRequest

ROOT = Path(__file__).resolve().parent.parent
TEN = ("ALONG", "CRC", "FSRCNN", "LRSRN", "RT4KSR", "RTSRN", "RTVSR", "SCSRN", "SESR", "TeamOV")
ARCH = """
from torch import nn


def srmodel(scale=2):
    head, tail = nn.Conv2d(3, {width}, 3, padding=1), nn.Conv2d({width}, 12, 3, padding=1)
    return nn.Sequential(head, nn.ReLU(), tail, nn.PixelShuffle(2))
"""
INFERENCE = {"time", "upscale", "output"}


@dataclass
class Work:
    """Work of one worker: times of all calls in ms, pixels of the timed frame, and pixels of all upscaled frames."""

    times_ms: list[float] = field(default_factory=list)
    timed_pixels: int = 0
    upscaled_pixels: int = 0

    def seconds(self) -> float:
        """Return the time inside forward passes in seconds."""
        per_pixel = float(np.median(self.times_ms)) / self.timed_pixels if self.times_ms else 0.0
        return (sum(self.times_ms) + per_pixel * self.upscaled_pixels) / 1e3


class Clocked(LocalEngine):
    """Engine that records the time between requests and replies, by request, and the call times of the workers."""

    def __init__(self) -> None:
        self.waited_s: dict[str, float] = {}
        self.work: list[Work] = []

    def open(self, job: Job) -> Session:
        """Start a worker."""
        begin = time.perf_counter()
        session = super().open(job)
        self._add("start", begin)
        ask, work = session.exchange.request, Work()
        self.work.append(work)

        def request(message: Message, timeout_s: float, max_payload: int) -> Message:
            begin = time.perf_counter()
            reply = ask(message, timeout_s, max_payload)
            self._add(message.name, begin)
            pixels = message.arrays[0].size if message.arrays else 0
            if message.name == "time":
                work.timed_pixels = pixels
                work.times_ms += [*reply.body["warmup_ms"], *reply.body["samples_ms"]]
            elif message.name == "upscale":
                work.upscaled_pixels += pixels
            return reply

        session.exchange.request = request  # type: ignore[method-assign]
        return session

    def _add(self, name: str, begin: float) -> None:
        self.waited_s[name] = self.waited_s.get(name, 0.0) + time.perf_counter() - begin


def write_models(folder: Path, count: int) -> None:
    """Write submissions of small convolutional networks without stored weights."""
    for number in range(count):
        place = folder / f"model-{number:02}"
        place.mkdir(parents=True)
        (place / "arch.py").write_text(ARCH.format(width=8 + number % 8) + f"# {number}\n")
        (place / "submission.toml").write_text(f'[submission]\nname = "model-{number:02}"\nscales = [2]\n')


def write_images(folder: Path, count: int) -> None:
    """Write images of 4K size: mosaics of the embedded ones, each shifted by another distance."""
    folder.mkdir()
    embedded = open_dataset("embedded", 2, get_degradation("bicubic"))
    found = [embedded.pair(index)[1] for index in range(len(embedded))]
    for number in range(count):
        image = np.pad(found[number % len(found)], ((0, 2160), (0, 3840), (0, 0)), mode="wrap")[:2160, :3840]
        Image.fromarray(np.roll(image, 97 * number, axis=1)).save(folder / f"{number:03}.png", compress_level=1)


def first_run(folder: Path, submissions: tuple[Path, ...], options: argparse.Namespace) -> None:
    """Execute a run and print the components of its wall time."""
    engine = Clocked()
    request = RunRequest(
        submissions, out=folder / "run", time_budget_s=options.seconds, with_baselines=False, device=options.device
    )
    if options.images:
        write_images(folder / "images", options.images)
        request = replace(request, dataset=str(folder / "images"))
    begin = time.perf_counter()
    run(request, engine=engine)
    wall_s = time.perf_counter() - begin
    inference_s = sum(work.seconds() for work in engine.work)
    preparing_s = sum(spent for name, spent in engine.waited_s.items() if name not in INFERENCE)
    rest_s = sum(engine.waited_s.get(name, 0.0) for name in INFERENCE) - inference_s
    controller_s = wall_s - sum(engine.waited_s.values())
    waits = ", ".join(f"{name} {spent:.1f} s" for name, spent in sorted(engine.waited_s.items()))
    print(f"a run of {len(submissions)} models: {wall_s:.1f} s = inference {inference_s:.1f} s", end=" ")
    print(
        f"+ preparing {preparing_s:.1f} s + workers' rest {rest_s:.1f} s ({rest_s / inference_s:.1%} of inference)"
        f" + controller {controller_s:.1f} s ({controller_s / inference_s:.1%})"
    )
    print(f"waited for workers: {waits}", flush=True)


def second_run(folder: Path, models: int) -> None:
    """Print the wall time of a run for which all measurements are stored."""
    write_models(folder / "fifty", models)
    options = [
        "--no-baselines",
        "--out",
        str(folder / "unchanged"),
        "--time-budget",
        "0.05",
        "--protocol",
        "ntire23-cpu",
    ]
    command = [sys.executable, "-m", "harness", "run", str(folder / "fifty"), *options]
    subprocess.run(command, check=True, capture_output=True)
    walls = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        walls.append(time.perf_counter() - begin)
    print(f"{models} submissions once more, none changed: {min(walls):.2f} s to {max(walls):.2f} s", flush=True)


def main() -> None:
    """Execute and print both measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="ten networks of two layers in the first run")
    parser.add_argument("--models", type=int, default=10, help="number of models of the first run")
    parser.add_argument("--images", type=int, default=0, help="images of 4K size, in place of the embedded ones")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, help="time budget per model (default: that of the protocol)")
    parser.add_argument("--unchanged", type=int, default=50, help="submissions of the repeated run; 0 to omit it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ten = tuple(ROOT / "submissions" / name for name in TEN)
        if options.tiny:
            write_models(Path(folder) / "ten", 10)
            ten = tuple(sorted((Path(folder) / "ten").iterdir()))
        first_run(Path(folder), ten[: options.models], options)
        if options.unchanged:
            second_run(Path(folder), options.unchanged)


if __name__ == "__main__":
    main()
