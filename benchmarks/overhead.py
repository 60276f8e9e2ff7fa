"""What the harness costs: a run of ten models beside the inference that it is made of, and a run of nothing new.

Run ``python benchmarks/overhead.py`` on an otherwise idle machine; it takes five minutes.

The first figure takes the wall time of a run with the default protocol and time budget apart:

inference
    Seconds inside forward passes, by the networks' own clocks: warm-up, timed calls, checks, upscaled images, and the
    timed calls of the anchor network.
preparing
    Seconds that the controller waits while workers start (they import torch), load, prove, count and weigh.
overhead
    All the rest: making frames and carrying them, stopping and waking workers, reading images, quality, statistics,
    files and the report. Given as a share of the inference.

The second figure is the wall time of the same command once more over fifty submissions of which none has changed,
interpreter and imports included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.engines import Job, LocalEngine
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.pipeline import run
from harness.plan import RunRequest

ARCH = """
import time

from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        head, tail = nn.Conv2d(3, {width}, 3, padding=1), nn.Conv2d({width}, 12, 3, padding=1)
        self.body = nn.Sequential(head, nn.ReLU(), tail, nn.PixelShuffle(2))

    def forward(self, frame):
        begin = time.perf_counter()
        output = self.body(frame)
        print("forward", time.perf_counter() - begin)
        return output


def srmodel(scale=2):
    return Network()
"""
INFERENCE = {"time", "upscale", "output"}


class Clocked(LocalEngine):
    """Adds up the time between requests and replies, by request, and the timed calls of the anchor network."""

    def __init__(self) -> None:
        self.waited_s: dict[str, float] = {}
        self.anchor_s = 0.0

    def open(self, job: Job) -> Session:
        """Start a worker."""
        begin = time.perf_counter()
        session = super().open(job)
        self._add("start", begin)
        ask = session.exchange.request

        def request(message: Message, timeout_s: float, max_payload: int) -> Message:
            begin = time.perf_counter()
            reply = ask(message, timeout_s, max_payload)
            self._add(message.name, begin)
            if message.name == "time" and job.log_path is None:
                self.anchor_s += sum(reply.body["samples_ms"]) / 1e3
            return reply

        session.exchange.request = request  # type: ignore[method-assign]
        return session

    def _add(self, name: str, begin: float) -> None:
        self.waited_s[name] = self.waited_s.get(name, 0.0) + time.perf_counter() - begin


def write_models(folder: Path, count: int) -> None:
    """Write small convolutional networks without weights of their own."""
    for number in range(count):
        place = folder / f"model-{number:02}"
        place.mkdir(parents=True)
        (place / "arch.py").write_text(ARCH.format(width=8 + number % 8) + f"# {number}\n")
        (place / "submission.toml").write_text(f'[submission]\nname = "model-{number:02}"\nscales = [2]\n')


def forward_seconds(run_folder: Path) -> float:
    """Return the time inside forward passes that the networks printed."""
    lines = [line.split() for log in run_folder.glob("logs/*.log") for line in log.read_text().splitlines()]
    return sum(float(words[1]) for words in lines if len(words) == 2 and words[0] == "forward")


def first_run(folder: Path, models: int, seconds: float | None) -> None:
    """Print what the wall time of a run is made of."""
    write_models(folder / "ten", models)
    engine = Clocked()
    request = RunRequest((folder / "ten",), out=folder / "run", time_budget_s=seconds, with_baselines=False)
    begin = time.perf_counter()
    run(request, engine=engine)
    wall_s = time.perf_counter() - begin
    inference_s = forward_seconds(folder / "run") + engine.anchor_s
    preparing_s = sum(spent for name, spent in engine.waited_s.items() if name not in INFERENCE)
    overhead_s = wall_s - inference_s - preparing_s
    waits = ", ".join(f"{name} {spent:.1f} s" for name, spent in sorted(engine.waited_s.items()))
    print(f"a run of {models} models: {wall_s:.1f} s = inference {inference_s:.1f} s", end=" ")
    print(
        f"+ preparing {preparing_s:.1f} s + overhead {overhead_s:.1f} s ({overhead_s / inference_s:.1%} of inference)"
    )
    print(f"waited for workers: {waits}", flush=True)


def second_run(folder: Path, models: int) -> None:
    """Print how long a run takes that finds everything measured."""
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
    """Read the options and print both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=10, help="models of the first run; 0 leaves it out")
    parser.add_argument("--seconds", type=float, help="time budget of each model; the protocol's own by default")
    parser.add_argument("--unchanged", type=int, default=50, help="submissions of the repeated run; 0 leaves it out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.models:
            first_run(Path(folder), options.models, options.seconds)
        if options.unchanged:
            second_run(Path(folder), options.unchanged)


if __name__ == "__main__":
    main()
