"""Simulate a night on one accelerator: what share of it the controller takes.

Run ``python -m benchmarks.night`` on an otherwise idle machine; it takes a minute. A scripted network takes 15 ms for a
4K image and returns one through shared memory. Everything else is real: images are read from files and degraded, and
outputs are compared by the track's convention. No crops are kept, as by default of images that are not public. Wall
time and processor time of the controller are measured for each image, for the first network, which also reads and
degrades the images, and for later ones.

A machine with more cores is simulated by scaling: the processor time of an image is divided by the number of cores and
by the measured efficiency of two threads. Reading and comparison overlap with the network, so that an image takes the
longest of the network with its transfers, measured alone because other cores do the rest, of the controller's work, and
for the first network of the reading, by as many threads as the harness has for it on so many cores.
The night adds the timing of all teams (``--timing-s`` for each, of which ``--timing-share`` is the controller's, see
``benchmarks/overhead.py``). The share that is printed is everything in which no network runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.overhead import write_images
from harness.data import Dataset, get_degradation, open_dataset
from harness.isolation.segment import Segment
from harness.quality import evaluate_pair
from harness.run.quality_pass import QualityPass, reading_threads

Image = NDArray[np.uint8]
CONVENTION, SCALE = "ntire23", 2


@dataclass(slots=True)
class ScriptedNetwork:
    """A network that takes a fixed time and returns slightly wrong images through shared memory.

    Attributes
    ----------
    call_s
        Time of a call, seconds.
    outputs
        Its images, each in shared memory and outside.
    """

    call_s: float
    outputs: list[tuple[Segment, Image]]

    @classmethod
    def on(cls, dataset: Dataset, call_s: float) -> ScriptedNetwork:
        """Prepare the outputs for a data set."""
        outputs = []
        for index in range(len(dataset)):
            image = np.roll(dataset.pair(index)[1], 1, axis=1)
            segment = Segment.create(image.nbytes)
            assert segment is not None
            segment.write([image])
            outputs.append((segment, image))
        return cls(call_s, outputs)

    def upscale(self, index: int, lr: Image) -> Image:
        """Send a frame, wait for the call, and read the output."""
        segment, image = self.outputs[index]
        lr.copy()  # the controller writes frames into shared memory
        time.sleep(self.call_s)
        output = np.empty_like(image)
        segment.read_into(output, 0)
        return output

    def alone_s(self, dataset: Dataset) -> float:
        """Return the median time of an image with its transfers while nothing else runs, seconds."""
        return median_s(lambda index: self.upscale(index, dataset.pair(index)[0]), len(dataset))


@dataclass(frozen=True, slots=True)
class PerImage:
    """Seconds for one image: wall time, and processor time of the controller."""

    wall_s: float
    cpu_s: float


def measure(dataset: Dataset, network: ScriptedNetwork, slug: str) -> PerImage:
    """Upscale and compare a data set as a run does."""
    begin, cpu_begin = time.perf_counter(), time.process_time()
    QualityPass(dataset, slug, CONVENTION).measure(network.upscale)
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu_begin
    images = len(dataset)
    return PerImage(wall_s / images, cpu_s / images)


def efficiency(dataset: Dataset) -> float:
    """Return the speed-up of the metrics by a second thread, as a fraction of two."""
    _, hr = dataset.pair(0)
    sr = np.roll(hr, 1, axis=1)

    def seconds(threads: int) -> float:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            evaluate_pair(sr, hr, CONVENTION, scale=SCALE, threads=threads)
            times.append(time.perf_counter() - begin)
        return min(times)

    return seconds(1) / (2 * seconds(2))


def median_s(step: Callable[[int], object], count: int) -> float:
    """Return the median time of a step for each of `count` images, seconds."""
    times = []
    for index in range(count):
        begin = time.perf_counter()
        step(index)
        times.append(time.perf_counter() - begin)
    return median(times)


def simulated_s(image: PerImage, network_s: float, cores: int, effective: float) -> float:
    """Return the wall time of an image on a machine with so many cores, seconds."""
    return max(network_s, image.cpu_s / (cores * effective))


def main() -> None:
    """Measure, and print the simulated night."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teams", type=int, default=40)
    parser.add_argument("--images", type=int, default=100, help="of the data set")
    parser.add_argument("--measured", type=int, default=10, help="images that are measured here")
    parser.add_argument("--call-ms", type=float, default=15.0, help="time of a call at 4K")
    parser.add_argument("--cores", type=int, default=16, help="of the simulated machine")
    parser.add_argument("--timing-s", type=float, default=8.0, help="timing of one team")
    parser.add_argument("--timing-share", type=float, default=0.15, help="share of the timing that is the controller's")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", given.measured)
        # Another object and cache, so that the first network reads the images itself.
        other = open_dataset(folder / "images", SCALE, get_degradation("bicubic"), folder / "other-cache")
        read_s, network = median_s(other.pair, len(other)), ScriptedNetwork.on(other, given.call_ms / 1e3)
        dataset = open_dataset(folder / "images", SCALE, get_degradation("bicubic"), folder / "cache")
        evaluate_pair(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64, 3), np.uint8), CONVENTION, scale=SCALE)
        measured = [measure(dataset, network, f"network-{number}") for number in range(4)]
        effective, network_s = efficiency(dataset), network.alone_s(dataset)
    first, later = measured[0], min(measured[1:], key=lambda one: one.wall_s)
    for label, one in (("first network", first), ("later networks", later)):
        print(f"{label}: {1e3 * one.wall_s:.0f} ms an image; controller {1e3 * one.cpu_s:.0f} ms of processor time")
    readers = reading_threads(given.cores)
    print(f"an image is read and degraded in {1e3 * read_s:.0f} ms, by {readers} threads at the same time")
    print(f"a call with its transfers takes {1e3 * network_s:.0f} ms")
    print(f"a second thread of the metrics is {effective:.0%} efficient")
    images_s = given.images * (
        max(simulated_s(first, network_s, given.cores, effective), read_s / readers)
        + (given.teams - 1) * simulated_s(later, network_s, given.cores, effective)
    )
    calls_s = given.teams * given.images * given.call_ms / 1e3
    timing_s = given.teams * given.timing_s
    idle_s = images_s - calls_s + given.timing_share * timing_s
    print(
        f"{given.teams} teams, {given.images} images of 4K, {given.cores} cores: {timing_s + images_s:.0f} s, of which "
        f"{timing_s:.0f} s timing and {images_s:.0f} s images; no network runs in {idle_s / (timing_s + images_s):.0%}"
    )


if __name__ == "__main__":
    main()
