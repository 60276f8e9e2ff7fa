"""Frames that no network has seen, made from real ones by the controller while the timing goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.timing.contender import Image


class FrameSource:
    """Gives endless frames: real ones, shifted round and mirrored at random.

    Parameters
    ----------
    images
        H x W x 3, uint8, all of one size.
    rng
        Seeded by the system unless given, so that nobody knows the frames in advance.
    """

    def __init__(self, images: Sequence[Image], rng: np.random.Generator | None = None) -> None:
        self._images = list(images)
        self._turn = 0
        self.rng = rng or np.random.default_rng()

    def noise(self) -> Image:
        """Return a frame of uniform noise."""
        return self.rng.integers(0, 256, self._images[0].shape, dtype=np.uint8)

    def fresh(self) -> Image:
        """Return a frame that was never given before: some of its values are a level off, drawn for this frame.

        Shifts alone would come back: a small image fills a frame by being mirrored.
        """
        image = self._images[self._turn % len(self._images)]
        self._turn += 1
        height, width, _ = image.shape
        shift = int(self.rng.integers(1, max(2, height))), int(self.rng.integers(1, max(2, width)))
        rows, columns = (1 - 2 * int(self.rng.integers(2)) for _ in range(2))
        shifted: Image = np.roll(image, shift, axis=(0, 1))[::rows, ::columns]
        unique: Image = np.bitwise_xor(shifted, self.noise() & np.uint8(1))
        return unique


def frame_of_call(frames: Sequence[NDArray[np.uint8]], call: int) -> NDArray[np.uint8]:
    """Return the image behind call number `call` (from 0) of :func:`harness.worker.measure.fresh_frames`, H x W x 3."""
    turn, index = divmod(call, len(frames))
    frame = frames[index]
    if not turn:
        return frame
    grain = np.roll(frame, grain_of_turn(turn), axis=(0, 1)) & np.uint8(1)
    varied: NDArray[np.uint8] = np.roll(frame, shift_of_turn(turn), axis=(0, 1)) ^ grain
    return varied


def shift_of_turn(turn: int) -> tuple[int, int]:
    """Return by how many rows and columns frames are rolled in a turn through the list of frames."""
    return turn, 3 * turn + 1


def grain_of_turn(turn: int) -> tuple[int, int]:
    """Return by how many rows and columns the frame is rolled whose lowest bits are added."""
    return 7 * turn + 3, 2 * turn + 5
