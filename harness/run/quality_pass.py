"""From LR images to figures in three steps that overlap: decode, inference, and what is done with an output.

While a worker upscales one image, the next pair is decoded and the last output is measured. All steps see the images in
order, and when the last output is dealt with nothing runs on: time is never measured beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.data import Dataset

Image = NDArray[np.uint8]
Result = TypeVar("Result")

_WAITING = 2  # outputs that may wait: at 4K some 30 MB each, with their HR image 55 MB


@dataclass(frozen=True, slots=True)
class Upscaled:
    """One image with what a network made of it; arrays are H x W x 3, uint8, and shared: nobody changes them."""

    name: str
    lr: Image
    hr: Image
    sr: Image


def evaluate(
    dataset: Dataset,
    upscale: Callable[[int, Image], Image],
    measure: Callable[[Upscaled], Result],
    keep: Callable[[Upscaled], None] | None = None,
) -> list[Result]:
    """Upscale every image of a data set, and return what `measure` makes of each, in order.

    Parameters
    ----------
    dataset
        The pairs.
    upscale
        Called here with the place of an image in the data set and its LR image.
    measure, keep
        Called with each output, each in a thread of its own, one image after another. No more than `_WAITING` outputs
        wait for the slower of the two.

    Raises
    ------
    Exception
        Whatever the first of the steps raises; the others have ended then.
    """
    steps: list[Callable[[Upscaled], object]] = [measure] if keep is None else [measure, keep]
    results: list[Result] = []
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in steps]
        waiting: deque[list[Future[object]]] = deque()

        def finish_first() -> None:
            done = [future.result() for future in waiting.popleft()]
            results.append(done[0])  # type: ignore[arg-type]  # the first step is `measure`

        for index, (lr, hr) in enumerate(stack.enter_context(closing(read_ahead(dataset)))):
            output = Upscaled(dataset.names[index], lr, hr, upscale(index, lr))
            while len(waiting) >= _WAITING:
                finish_first()
            waiting.append([thread.submit(step, output) for thread, step in zip(threads, steps, strict=True)])
        while waiting:
            finish_first()
    return results


def read_ahead(dataset: Dataset) -> Generator[tuple[Image, Image], None, None]:
    """Yield every pair of a data set in order, with the next one being decoded meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(dataset.pair, 0)
        for index in range(len(dataset)):
            pair = following.result()
            if index + 1 < len(dataset):
                following = reader.submit(dataset.pair, index + 1)
            yield pair
