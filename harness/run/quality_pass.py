"""Quality of a submission: its worker upscales every image, the controller compares the outputs with HR.

Decoding, inference and comparison overlap: while a worker upscales one image, the next pair is decoded and the last
output is compared. On a machine with few cores the steps of a small image follow one another: a thread of the worker
that has to wait for a core delays it by more than these steps take. All steps see the images in order. No thread is
left when the pass ends, so that none disturbs a timing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.data import Dataset
from harness.data.outputs import OutputFolder
from harness.machine.available_cores import available_cores
from harness.machine.quiet import QUIET_HOURS
from harness.quality import evaluate_pair, upscale_bicubic
from harness.results import ImageQuality
from harness.results.crops import CropStore
from harness.results.schema import QualityFigures

Image = NDArray[np.uint8]
Argument = TypeVar("Argument")
Result = TypeVar("Result")

PSNR_CAP = 100.0
"""dB. Identical images have no finite PSNR, and JSON has no infinity."""

# Outputs that may wait for the comparison. At 4K an output takes 30 MB, with its HR image 55 MB.
_WAITING = 2
_SMALL_SAMPLES = 3 << 18  # of an HR image
_FEW_CORES = 4
_MOST_READERS = 8  # a 4K pair takes 31 MB


@dataclass(frozen=True, slots=True)
class Upscaled:
    """One image and a network's output; arrays are H x W x 3, uint8, shared between threads and never changed."""

    name: str
    lr: Image
    hr: Image
    sr: Image


@dataclass(frozen=True, slots=True)
class QualityPass:
    """Measures the quality of one submission on a data set.

    Attributes
    ----------
    dataset
        Pairs of LR and HR images. HR never leaves the controller.
    slug
        Names the submission in the run's folder.
    convention
        The track's definition of PSNR and SSIM.
    further_conventions
        Definitions by which the same outputs are measured as well.
    crops
        Receives crops of the outputs for the report; None to keep none.
    outputs
        Receives the whole outputs; None to keep none.
    """

    dataset: Dataset
    slug: str
    convention: str
    further_conventions: Sequence[str] = ()
    crops: CropStore | None = None
    outputs: OutputFolder | None = None

    def measure(self, upscale: Callable[[int, Image], Image]) -> list[ImageQuality]:
        """Upscale every image and return its quality, in order.

        Parameters
        ----------
        upscale
            Called with the index of an image and its LR pixels.
        """
        if self.outputs is not None:
            self.outputs.begin()
        # Files are written in a thread of their own, so that the comparison does not wait for the disk.
        return evaluate(self.dataset, upscale, self._compare, None if self.outputs is None else self._save)

    def complete(self) -> None:
        """Mark the kept outputs as complete; not called for a network that fails a later check."""
        if self.outputs is not None:
            self.outputs.finish()

    def without_files(self) -> QualityPass:
        """Return the same pass, keeping neither crops nor outputs."""
        return replace(self, crops=None, outputs=None)

    def _compare(self, image: Upscaled) -> ImageQuality:
        if self.crops is not None:
            # HR and bicubic crops of an image are the same for all networks: the first one to upscale it stores them.
            if self.crops.wants(image.name):
                self.crops.begin(image.name, image.hr, upscale_bicubic(image.lr, self.dataset.scale), image.lr)
            self.crops.add(image.name, self.slug, image.sr)
        return image_quality(image, self.convention, self.further_conventions, self.dataset.scale)

    def _save(self, image: Upscaled) -> None:
        assert self.outputs is not None
        self.outputs.add(image.name, image.sr)


def image_quality(image: Upscaled, convention: str, further: Sequence[str], scale: int) -> ImageQuality:
    """Measure one output by the run's own convention and by further ones."""

    def figures(name: str) -> QualityFigures:
        quality = evaluate_pair(image.sr, image.hr, name, scale=scale)
        return QualityFigures(
            psnr_rgb=min(quality.psnr_rgb, PSNR_CAP),
            psnr_y=min(quality.psnr_y, PSNR_CAP),
            ssim_rgb=quality.ssim_rgb,
            ssim_y=quality.ssim_y,
        )

    by_convention = {name: figures(name) for name in further}
    return ImageQuality(image=image.name, conventions=by_convention, **dict(figures(convention)))


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
        Called in the calling thread with the index of an image and its LR pixels.
    measure, keep
        Called with each output, one image after another; each in a thread of its own, unless the image is small. No
        more than two outputs wait for the slower of the two.

    Raises
    ------
    Exception
        The exception of the first step that fails, after the other steps have ended.
    """
    steps: list[Callable[[Upscaled], object]] = [measure] if keep is None else [measure, keep]
    results: list[Result] = []
    with ExitStack() as stack:
        # One thread for each step, so that images are measured and saved in order.
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in steps]
        waiting: deque[list[Future[object]]] = deque()

        def finish_first() -> None:
            # In the order of the images; the exception of a failed step is raised here.
            done = [future.result() for future in waiting.popleft()]
            results.append(done[0])  # type: ignore[arg-type]  # the first step is `measure`

        # Closed by the stack, so that the reading thread ends if a step fails.
        for index, (lr, hr) in enumerate(stack.enter_context(closing(read_ahead(dataset)))):
            output = Upscaled(dataset.names[index], lr, hr, upscale(index, lr))
            if _is_quick(hr):
                while waiting:
                    finish_first()
                done = [_in_working_hours(step, output) for step in steps]
                results.append(done[0])  # type: ignore[arg-type]
                continue
            # Bounds the memory: the network waits if it is faster than the comparison.
            while len(waiting) >= _WAITING:
                finish_first()
            waiting.append(
                [thread.submit(_in_working_hours, step, output) for thread, step in zip(threads, steps, strict=True)]
            )
        while waiting:
            finish_first()
    return results


def _in_working_hours(step: Callable[[Argument], Result], argument: Argument) -> Result:
    """Do a step when no other device of this machine times a network."""
    with QUIET_HOURS.work():
        return step(argument)


def read_ahead(dataset: Dataset) -> Generator[tuple[Image, Image], None, None]:
    """Yield every pair of a data set in order; those after a large one are decoded meanwhile.

    Decoding a 4K pair takes as long as several calls of a fast network, which would wait for a single thread.
    """
    readers = reading_threads(available_cores())
    pool = ThreadPoolExecutor(readers)
    following: deque[Future[tuple[Image, Image]]] = deque()
    try:
        for index in range(len(dataset)):
            pair = following.popleft().result() if following else _in_working_hours(dataset.pair, index)
            if not _is_quick(pair[1]):
                coming = range(index + 1 + len(following), min(len(dataset), index + 1 + readers))
                following.extend(pool.submit(_in_working_hours, dataset.pair, one) for one in coming)
            yield pair
    finally:
        pool.shutdown(cancel_futures=True)


def reading_threads(cores: int) -> int:
    """Return how many threads read images ahead on a machine with so many cores."""
    return max(1, min(_MOST_READERS, cores // 2))


def _is_quick(hr: Image) -> bool:
    """Return whether the steps for an image take less time one after another, see the module's description."""
    return hr.size < _SMALL_SAMPLES and available_cores() <= _FEW_CORES
