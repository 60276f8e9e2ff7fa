"""Timed outputs are judged by the HR images that their frames were made from."""

import numpy as np
import pytest

from harness.errors import WorkerError
from harness.timing.frames import FrameSource, Image, Origin, draw_variation, frame_of_call
from harness.timing.strips import STRIPS, Strips
from harness.timing.timed_parts import Errors, TimedPart, errors_of, find_loss, is_as_good

SCALE = 2
SIZE = (24, 32)


def pair(rng: np.random.Generator, height: int, width: int) -> tuple[Image, Image]:
    hr = rng.integers(0, 256, (SCALE * height, SCALE * width, 3), dtype=np.uint8)
    return hr[::SCALE, ::SCALE], hr


def filled(image: Image, scale: int) -> Image:
    """Return an image mirrored and cropped to the size of frames, at LR or HR."""
    height, width = (scale * side for side in SIZE)
    missing = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")[:height, :width]


def rolled_like(image: Image, origin: Origin) -> Image:
    """Return an HR frame with the changes that were made to an LR frame, by numpy's own functions."""
    shifted = np.roll(image, [SCALE * shift for shift in origin.shift], axis=(0, 1))
    shifted = shifted[:: -1 if origin.flips[0] else 1, :: -1 if origin.flips[1] else 1]
    return np.roll(shifted, [SCALE * shift for shift in origin.call_shift], axis=(0, 1))


def strips_of(image: Image, rng: np.random.Generator, width: int) -> Strips:
    height, columns, _ = image.shape
    places = np.stack([rng.integers(0, height, STRIPS), rng.integers(0, columns - width + 1, STRIPS)], axis=1)
    values = np.stack([image[row, left : left + width] for row, left in places]).astype(np.float32)
    return Strips(places, values)


@pytest.mark.parametrize("size", [(10, 12), SIZE, (40, 50)])
def test_a_perfect_output_has_no_error_wherever_the_frame_came_from(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    lr, hr = pair(rng, *size)
    source = FrameSource([filled(lr, 1)], rng)
    counted = 0
    for call in range(30):
        origin = source.drawn()[1].of_call(draw_variation(*SIZE) if call % 3 else None)
        output = origin.gain * rolled_like(filled(hr, SCALE), origin)
        found = errors_of(TimedPart.of(origin, strips_of(output, rng, 20)), hr ^ 16, hr, SCALE, edge=2)
        assert found.timed <= 0.5 * found.count  # by rounding
        assert found.scored == 256.0 * found.count
        counted += found.count
    assert counted > 1000


def test_frames_are_what_their_origin_says() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    source = FrameSource([image], rng)
    rows, columns = (np.arange(side) for side in SIZE)
    for call in range(12):
        frame, origin = source.drawn()
        variation = draw_variation(*SIZE) if call % 3 else None
        origin = origin.of_call(variation)
        shown = image[origin.row_of(rows, 1)][:, origin.column_of(columns, 1)]
        assert np.abs(frame_of_call([frame], 0, variation) - origin.gain * shown).max() <= 3.0  # two bits, rounded


def test_a_loss_beyond_chance_is_found() -> None:
    rng = np.random.default_rng(2)
    honest = [Errors(30.0 * count, 30.0 * count, count) for count in rng.integers(1000, 3000, 12).tolist()]
    worse = [Errors(60.0 * count, 30.0 * count, count) for count in rng.integers(1000, 3000, 12).tolist()]
    assert find_loss(honest) is None
    assert find_loss(worse) == pytest.approx(10 * np.log10(60 / 33))
    assert find_loss([*honest, *worse]) is not None
    assert find_loss(worse[:2]) is None
    assert find_loss([*honest, Errors(9000.0, 300.0, 10)]) is None  # one odd output is chance
    assert find_loss([Errors(3.0, 0.0, 1)] * 9) is None  # by the grain of the frames
    assert find_loss([Errors(0.0, 0.0, 0)] * 9) is None  # nothing was compared


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_no_way_out_of_the_comparison(value: float) -> None:
    strips = strips_of(np.zeros((*SIZE, 3), np.uint8), np.random.default_rng(2), 20)
    strips.values[3, 7, 1] = value
    with pytest.raises(WorkerError, match="NaN or infinite") as caught:
        TimedPart.of(Origin(0, SIZE, (0, 0), (False, False), 1.0), strips)
    assert caught.value.kind == "ContractError"


def test_few_strips_show_that_an_output_is_as_good_only_beyond_doubt() -> None:
    equal = [Errors(error * 500, error * 500, 500) for error in (40.0, 20.0, 60.0, 30.0)] * 4
    assert is_as_good(equal, typical_error=40.0)
    assert is_as_good([*equal, Errors(0.0, 0.0, 0)], typical_error=40.0)
    assert not is_as_good(equal[:15], typical_error=40.0)  # too few
    assert not is_as_good(equal, typical_error=100.0)  # flat areas
    # On average these are as good, perhaps by chance.
    uneven = [Errors(share * one.scored, one.scored, one.count) for one in equal for share in (0.4, 1.6)]
    assert not is_as_good(uneven, typical_error=40.0)
    assert not is_as_good([Errors(1.2 * one.scored, one.scored, one.count) for one in equal], 40.0)
    assert not is_as_good([], typical_error=0.0)


def test_a_part_is_split_into_its_strips() -> None:
    rng = np.random.default_rng(3)
    lr, hr = pair(rng, 40, 50)
    origin = FrameSource([filled(lr, 1)], rng).drawn()[1]
    part = TimedPart.of(origin, strips_of(rng.integers(0, 256, (2 * SIZE[0], 2 * SIZE[1], 3)), rng, 20))
    whole, strips = ([errors_of(one, hr ^ 16, hr, SCALE, edge=2) for one in parts] for parts in ([part], part.split()))
    assert len(strips) == STRIPS
    assert sum(one.count for one in strips) == whole[0].count > 0
    assert sum(one.timed for one in strips) == pytest.approx(whole[0].timed)
