"""Measure the time to transfer a 4K output from a worker to the controller by shared memory, socket or PNG.

    python benchmarks/transfer.py [--rounds 20]

A child process represents the worker. It receives a low-resolution frame and replies with a prepared output, so that
only the transfer is timed. The methods alternate within a run. PNG is written and read by Pillow with compression
level 1. The median of each method and of its ratios within a round are printed.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from harness.data import get_degradation, open_dataset
from harness.isolation.channel import Channel
from harness.isolation.messages import ChannelClosed, Message
from harness.isolation.segment import Segment

Image = NDArray[np.uint8]

SECRET = bytes(16)
OUTPUT = 2160, 3840


def make_output() -> Image:
    """Return a 4K frame of natural images, repeated to fill it."""
    hr = open_dataset("embedded", 2, get_degradation("ntire23")).pair(0)[1]
    repeats = [-(-side // own) for side, own in zip(OUTPUT, hr.shape, strict=False)]
    return np.ascontiguousarray(np.tile(hr, (*repeats, 1))[: OUTPUT[0], : OUTPUT[1]])


def serve(channel: Channel, output: Image) -> None:
    """Reply to each frame with the output until the other end closes the channel."""
    sequence = 0
    while True:
        try:
            channel.receive(sequence)
        except ChannelClosed:
            return
        channel.send(Message("upscale", {}, (output,)), sequence)
        sequence += 1


def exchange_with_child(output: Image, segment: Segment | None) -> Callable[[Image], Image]:
    """Start a child process and return a function that sends it a frame and receives the output."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        serve(Channel(theirs, SECRET, segment=segment), output)
        os._exit(0)
    theirs.close()
    channel = Channel(ours, SECRET, segment=segment)
    sequence = 0

    def exchange(frame: Image) -> Image:
        nonlocal sequence
        channel.send(Message("upscale", {}, (frame,)), sequence)
        (image,) = channel.receive(sequence, max_payload=output.nbytes).arrays
        sequence += 1
        return image

    return exchange


def through_png(output: Image) -> Image:
    """Write and read the output as PNG in memory, which is faster than on disk."""
    file = io.BytesIO()
    PillowImage.fromarray(output).save(file, "PNG", compress_level=1)
    return np.asarray(PillowImage.open(file))


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="number of timings of each method")
    rounds = parser.parse_args().rounds
    output = make_output()
    segment = Segment.create()
    if segment is None:
        raise SystemExit("this benchmark requires Linux, for shared memory of fixed size")
    ways: dict[str, Callable[[Image], Image]] = {
        "shared memory": exchange_with_child(output, segment),
        "socket": exchange_with_child(output, None),
        "PNG": lambda _: through_png(output),
    }
    frame = np.ascontiguousarray(output[::2, ::2])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(rounds + 1):
        for name in list(ways)[:: 1 if index % 2 == 0 else -1]:
            begin = time.perf_counter()
            image = ways[name](frame)
            if index:  # skip the first round, in which memory pages are allocated
                times[name].append(time.perf_counter() - begin)
            assert np.array_equal(image, output)
    for name, seconds in times.items():
        ratio = statistics.median(own / first for own, first in zip(seconds, times["shared memory"], strict=True))
        print(f"{name:14} {1e3 * statistics.median(seconds):8.1f} ms {ratio:7.1f} times shared memory")


if __name__ == "__main__":
    main()
