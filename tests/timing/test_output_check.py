"""Comparison of outputs of two processes of one network."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import WorkerError
from harness.timing.output_check import OutputCheck, Upscaled
from harness.timing.strips import STRIPS, Strips

FRAME = np.random.default_rng(0).integers(10, 200, (32, 48, 3), dtype=np.uint8)
Network = Callable[[np.ndarray], np.ndarray]


def repeat(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def strips_of(image: np.ndarray) -> Strips:
    rows = np.random.default_rng(1).integers(0, len(image), STRIPS)
    return Strips(np.stack([rows, 0 * rows], axis=1), image[rows].astype(np.float32))


@dataclass
class Process:
    """A process that makes an image of each frame, timed or not."""

    network: Network
    last: np.ndarray = field(default_factory=lambda: np.empty(0))

    def upscale(self, frame: np.ndarray) -> np.ndarray:
        self.last = self.network(frame)
        return self.last

    def time(self, frames: list[np.ndarray], *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(strips=[strips_of(self.upscale(frame)) for frame in frames])

    def last_image(self, _frame: np.ndarray) -> np.ndarray:
        return self.last


def slightly_brighter(frame: np.ndarray) -> np.ndarray:
    """Return what differs by a fifth of a level on average, always in the same places."""
    return repeat(frame) + np.uint8(np.random.default_rng(2).random((64, 96, 3)) < 0.2)


def random_brighter(generator: np.random.Generator) -> Network:
    return lambda frame: repeat(frame) + np.uint8(generator.random((64, 96, 3)) < 0.1)


def test_a_network_that_differs_a_little_from_that_of_another_process_is_no_random_one() -> None:
    process = Process(slightly_brighter)
    check = OutputCheck(process, "fp32")
    with pytest.raises(WorkerError, match=r"in another process of the network by 0\.2"):
        check.check_same_output(strips_of(process.upscale(FRAME)), Upscaled(FRAME, repeat(FRAME)))
    assert check.notes == []


def test_a_network_with_random_numbers_of_its_own_may_differ_from_process_to_process() -> None:
    process = Process(random_brighter(np.random.default_rng(3)))
    check = OutputCheck(process, "fp32")
    other = Upscaled(FRAME, random_brighter(np.random.default_rng(4))(FRAME))
    check.check_same_output(strips_of(process.upscale(FRAME)), other)
    assert "random numbers of its own" in check.notes[0]


def test_equal_images_need_no_further_call() -> None:
    process = Process(repeat)
    strips = strips_of(process.upscale(FRAME))
    process.network = slightly_brighter
    OutputCheck(process, "fp32").check_same_output(strips, Upscaled(FRAME, repeat(FRAME)))


def test_a_first_call_that_differs_is_found_although_later_ones_do_not() -> None:
    strips = strips_of(slightly_brighter(FRAME))
    with pytest.raises(WorkerError, match="in another process"):
        OutputCheck(Process(repeat), "fp32").check_same_output(strips, Upscaled(FRAME, repeat(FRAME)))


def test_values_that_are_not_finite_are_found() -> None:
    process = Process(repeat)
    strips = strips_of(process.upscale(FRAME))
    broken = Strips(strips.places, np.full_like(strips.values, np.nan))
    with pytest.raises(WorkerError, match="not finite"):
        OutputCheck(process, "fp32").check_same_output(broken, Upscaled(FRAME, repeat(FRAME)))
