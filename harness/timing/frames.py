"""Frames for the timing, made from real images such that a network has seen none of them.

The worker imports this module, so it imports nothing of the controller.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""H x W x 3, uint8."""


# Gains are below 1, so that no value of a frame is clipped.
_UNIT = 1 << 16  # of gains
_FRAME_GAINS = (0.88, 1.0)
_CALL_GAINS = (0.92, 1.0)
_random_bytes = os.urandom  # bound before submitted code could replace it


@dataclass(frozen=True, slots=True)
class Variation:
    """How a frame is changed, so that a network can derive no output from that of another frame.

    A shift alone would leave the result shifted. Random lowest bits could be ignored. A network whose output for a
    darker, rounded image follows from that for the image computes no more than interpolation.

    Attributes
    ----------
    shift
        Rows and columns by which the frame is rolled.
    grain
        Rows and columns by which the frame is rolled of which the lowest bits are added.
    gain
        What its values are multiplied by, in 1/65536; below 65536.
    """

    shift: tuple[int, int]
    grain: tuple[int, int]
    gain: int

    @property
    def factor(self) -> float:
        """What values are multiplied by."""
        return self.gain / _UNIT

    def as_row(self) -> list[int]:
        """Return its numbers for a message, see :func:`read_variations`."""
        return [*self.shift, *self.grain, self.gain]


def draw_variation(height: int, width: int) -> Variation:
    """Draw a variation of a frame from the system's random numbers, which are unpredictable."""
    # Five numbers of 64 bits: the bias of the remainder is negligible for moduli of at most 65536.
    drawn = np.frombuffer(_random_bytes(40), np.uint64) % np.array([height, width, height, width, _UNIT], np.uint64)
    rows, columns, grain_rows, grain_columns, number = drawn.tolist()
    return Variation((rows, columns), (grain_rows, grain_columns), _gain(number / _UNIT, _CALL_GAINS))


def vary(frame: Image, variation: Variation) -> Image:
    """Return a frame, H x W x 3, with a variation."""
    dimmed = _dimmed(np.roll(frame, variation.shift, axis=(0, 1)), variation.gain)
    varied: Image = dimmed ^ (np.roll(frame, variation.grain, axis=(0, 1)) & np.uint8(1))
    return varied


def read_variations(rows: Sequence[Sequence[int]], calls: int) -> list[Variation | None]:
    """Return the variations of a request's calls from the reply of a worker, which may hold anything.

    Raises
    ------
    ValueError
        There are not as many as calls, two are equal, which random ones never are, or one is none.
    """
    varied = [row for row in rows if row]
    # `_gain` truncates, so the lowest gain may be smaller than its bound by less than one unit.
    lowest, highest = (gain * _UNIT for gain in _CALL_GAINS)
    if len(rows) != calls or not all(len(row) == 5 and lowest - 1 <= row[4] < highest for row in varied):
        raise ValueError(f"{len(rows)} variations of frames for {calls} call(s), or odd ones")
    if len(set(map(tuple, varied))) < len(varied):
        raise ValueError("frames of several calls were varied alike")
    return [Variation((row[0], row[1]), (row[2], row[3]), row[4]) if row else None for row in rows]


def _dimmed(image: Image, gain: int) -> Image:
    # Integers with rounding: the controller must reproduce the worker's frame exactly on any machine.
    table = ((np.arange(256) * gain + _UNIT // 2) >> 16).astype(np.uint8)
    # A table for bytes is faster than arithmetic, and than an array of indices.
    return np.frombuffer(image.tobytes().translate(table.tobytes()), np.uint8).reshape(image.shape)


def _gain(share: float, gains: tuple[float, float]) -> int:
    low, high = gains
    return min(int((low + share * (high - low)) * _UNIT), _UNIT - 1)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a frame was made from an image.

    Attributes
    ----------
    index
        Number of the image.
    size
        Height and width of the frame, pixels.
    shift
        Rows and columns by which the image was rolled first.
    flips
        Whether rows, and whether columns, were reversed then.
    gain
        What its values were multiplied by.
    call_shift
        Rows and columns by which the frame was rolled for a later call.
    """

    index: int
    size: tuple[int, int]
    shift: tuple[int, int]
    flips: tuple[bool, bool]
    gain: float
    call_shift: tuple[int, int] = (0, 0)

    def of_call(self, variation: Variation | None) -> Origin:
        """Return the origin of the input of one call with this frame."""
        if variation is None:
            return self
        return replace(self, gain=self.gain * variation.factor, call_shift=variation.shift)

    def row_of(self, rows: NDArray[np.int64], scale: int) -> NDArray[np.int64]:
        """Return which rows of the upscaled image are in the given rows of the upscaled frame."""
        return self._place(rows, 0, scale)

    def column_of(self, columns: NDArray[np.int64], scale: int) -> NDArray[np.int64]:
        """Return which columns of the upscaled image are in the given columns of the upscaled frame."""
        return self._place(columns, 1, scale)

    def _place(self, places: NDArray[np.int64], axis: int, scale: int) -> NDArray[np.int64]:
        # Undo in reverse order: the roll of the call, the flip, the roll of the image.
        side = scale * self.size[axis]
        found = (places - scale * self.call_shift[axis]) % side
        if self.flips[axis]:
            found = side - 1 - found
        return (found - scale * self.shift[axis]) % side


class FrameSource:
    """Generate an endless sequence of frames, no two of which are equal.

    Parameters
    ----------
    images
        Real images, H x W x 3, uint8, all of one size.
    rng
        Source of randomness. It is seeded by the system unless given, so that no frame can be predicted.
    """

    def __init__(self, images: Sequence[Image], rng: np.random.Generator | None = None) -> None:
        self._images = list(images)
        self._turn = 0
        self.rng = rng or np.random.default_rng()

    def noise(self) -> Image:
        """Return a frame of uniform noise."""
        return self.rng.integers(0, 256, self._images[0].shape, dtype=np.uint8)

    def fresh(self) -> Image:
        """Return the next image, flipped, cyclically shifted and dimmed at random, with random lowest bits.

        Shifts and flips alone could repeat a frame: a small image is mirrored until it fills a frame, so several
        shifts of it can be equal.
        """
        return self.drawn()[0]

    def drawn(self) -> tuple[Image, Origin]:
        """Return a frame as :meth:`fresh` does, and how it was made."""
        index = self._turn % len(self._images)
        image = self._images[index]
        self._turn += 1
        height, width, _ = image.shape
        # At least one pixel to each side, so that no frame is the image itself.
        shift = int(self.rng.integers(1, max(2, height))), int(self.rng.integers(1, max(2, width)))
        flips = bool(self.rng.integers(2)), bool(self.rng.integers(2))
        gain = _gain(float(self.rng.random()), _FRAME_GAINS)
        rows, columns = (-1 if flipped else 1 for flipped in flips)
        dimmed = _dimmed(np.roll(image, shift, axis=(0, 1)), gain)[::rows, ::columns]
        bits = np.unpackbits(np.frombuffer(self.rng.bytes(-(-image.size // 8)), np.uint8), count=image.size)
        unique: Image = np.bitwise_xor(dimmed, bits.reshape(image.shape))
        return unique, Origin(index, (height, width), shift, flips, gain / _UNIT)


def frame_of_call(frames: Sequence[Image], call: int, variation: Variation | None = None) -> Image:
    """Return the input of one call of :func:`harness.worker.measure.fresh_frames`.

    Parameters
    ----------
    frames
        Frames that were sent to the worker, H x W x 3, uint8.
    call
        Number of the call, from 0.
    variation
        The call's variation, as the worker drew it; None if it had the frame itself.
    """
    frame = frames[call % len(frames)]
    return frame if variation is None else vary(frame, variation)
