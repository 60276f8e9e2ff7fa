"""Comparison of timed outputs with outputs for crops of their frames."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.errors import DISQUALIFIED, WorkerError
from harness.timing.crops import upscale_strips
from harness.timing.output_check import OutputCheck
from harness.timing.strips import Strips, draw_strips

FRAME = np.random.default_rng(0).integers(0, 256, (540, 960, 3), dtype=np.uint8)
Network = Callable[[np.ndarray], np.ndarray]


def repeat(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def darker(frame: np.ndarray) -> np.ndarray:
    return repeat(frame) // 2


def relative(frame: np.ndarray) -> np.ndarray:
    """Return pixels minus a global statistic, which a crop has another value of."""
    return np.clip(repeat(frame).astype(int) - int(frame.max(axis=2).mean() * 7) % 31, 0, 255).astype(np.uint8)


@dataclass
class Process:
    network: Network
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def upscale(self, frame: np.ndarray) -> np.ndarray:
        self.shapes.append(frame.shape)
        return self.network(frame)

    @property
    def share(self) -> float:
        """Pixels that were upscaled, of those of the frame."""
        return sum(shape[0] * shape[1] for shape in self.shapes) / (FRAME.shape[0] * FRAME.shape[1])


def strips_of(image: np.ndarray, seed: int = 1) -> Strips:
    return draw_strips(image, np.random.default_rng(seed))


def convolutions(radius: int) -> Network:
    """Return a network that joins blocks of 2 x 2 pixels, and whose outputs depend on `radius` blocks around them."""
    torch.manual_seed(0)
    layers = [nn.PixelUnshuffle(2), nn.Conv2d(12, 48, 2 * radius + 1, padding=radius), nn.PixelShuffle(4)]
    network = nn.Sequential(*layers)

    def upscale(frame: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            levels = network(torch.from_numpy(frame).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0)
        return levels.mul(0.3).add(128).round().clamp(0, 255).numpy().astype(np.uint8)

    return upscale


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), radius=st.sampled_from([0, 3, 12]), rows=st.integers(97, 140))
def test_crops_give_the_parts_of_the_output_that_strips_show(seed: int, radius: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    # Frames so wide that the crops are a small share of them; strips touch all edges now and then.
    frame = rng.integers(0, 256, (4 * rows, 512, 3), dtype=np.uint8)
    network = convolutions(radius)
    image = network(frame)
    places = strips_of(image, seed).places
    places[0], places[1] = (0, 0), (image.shape[0] - 1, image.shape[1] - 128)
    strips = Strips(places, np.empty((len(places), 128, 3), np.float32))
    parts = upscale_strips(network, frame, strips, 2)
    assert parts is not None
    assert np.abs(parts - strips.of(image)).max() <= 1  # another order of additions may round another way


def test_crops_of_a_frame_of_the_challenge_cost_less_than_a_tenth_of_a_call() -> None:
    frame = np.zeros((1080, 1920, 3), np.uint8)
    process = Process(repeat)
    upscale_strips(process.upscale, frame, strips_of(repeat(frame)), 2)
    assert sum(shape[0] * shape[1] for shape in process.shapes) < 0.1 * 1080 * 1920


def test_an_honest_local_network_is_not_called_on_the_whole_frame() -> None:
    process = Process(repeat)
    check = OutputCheck(process, "fp32", 2)
    check.check(FRAME, strips_of(repeat(FRAME)))
    assert process.share < 0.35
    assert check.crop_scale == 2
    assert check.last is not None
    assert check.last.frame is FRAME


def test_a_network_with_global_operations_is_compared_as_a_whole_and_crops_are_not_tried_again() -> None:
    process = Process(relative)
    check = OutputCheck(process, "fp32", 2)
    check.check(FRAME, strips_of(relative(FRAME)))
    assert FRAME.shape in process.shapes
    assert check.crop_scale is None
    process.shapes.clear()
    check.check(FRAME, strips_of(relative(FRAME), 2))
    assert process.shapes == [FRAME.shape]


@pytest.mark.parametrize("timed", [darker, lambda frame: repeat(frame // 16 * 16)])
def test_less_work_in_timed_calls_is_found(timed: Network) -> None:
    with pytest.raises(WorkerError, match="differs from the untimed one") as caught:
        OutputCheck(Process(repeat), "fp32", 2).check(FRAME, strips_of(timed(FRAME)))
    assert caught.value.kind == DISQUALIFIED


def test_less_work_in_every_call_on_whole_frames_is_left_to_the_comparison_with_hr_images() -> None:
    """Crops differ, and whole outputs do not: the network may have global operations."""
    process = Process(lambda frame: darker(frame) if frame.shape == FRAME.shape else repeat(frame))
    OutputCheck(process, "fp32", 2).check(FRAME, strips_of(darker(FRAME)))
    assert FRAME.shape in process.shapes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_found_without_a_warning(value: float) -> None:
    frame = FRAME // 255 * 255  # black and white, as infinite values would be after rounding
    strips = strips_of(repeat(frame))
    strips.values[3, strips.values[3] == (255 if value > 0 else 0)] = value
    with pytest.raises(WorkerError, match="not finite"):
        OutputCheck(Process(repeat), "fp32", 2).check(frame, strips)


def test_a_network_that_accepts_no_crops_is_compared_as_a_whole() -> None:
    def one_size(frame: np.ndarray) -> np.ndarray:
        if frame.shape != FRAME.shape:
            raise WorkerError("size", stage="upscale", kind="RuntimeError")
        return repeat(frame)

    process = Process(one_size)
    check = OutputCheck(process, "fp32", 2)
    check.check(FRAME, strips_of(repeat(FRAME)))
    assert check.crop_scale is None
    assert len(process.shapes) == 2


@pytest.mark.parametrize("kind", [DISQUALIFIED, "ProtocolError", "Crash", "MemoryLimit"])
def test_what_ends_a_submission_during_a_crop_is_no_matter_of_size(kind: str) -> None:
    def tampers(_: np.ndarray) -> np.ndarray:
        raise WorkerError("it replaced time.time", stage="upscale", kind=kind)

    with pytest.raises(WorkerError, match=r"it replaced time\.time"):
        OutputCheck(Process(tampers), "fp32", 2).check(FRAME, strips_of(repeat(FRAME)))


def test_small_frames_are_compared_as_a_whole() -> None:
    process, small = Process(repeat), FRAME[:64, :96]
    OutputCheck(process, "fp32", 2).check(small, strips_of(repeat(small)))
    assert process.shapes == [small.shape]
