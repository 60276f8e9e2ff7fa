"""Frames for the timing, made from real images such that a network has seen none of them.

The worker imports this module, so it imports nothing of the controller.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""H x W x 3, uint8."""


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
        """Return the next image, cyclically shifted and flipped at random, with random lowest bits.

        Shifts and flips alone could repeat a frame: a small image is mirrored until it fills a frame, so several
        shifts of it can be equal.
        """
        image = self._images[self._turn % len(self._images)]
        self._turn += 1
        height, width, _ = image.shape
        shift = int(self.rng.integers(1, max(2, height))), int(self.rng.integers(1, max(2, width)))
        rows, columns = (1 - 2 * int(self.rng.integers(2)) for _ in range(2))
        shifted: Image = np.roll(image, shift, axis=(0, 1))[::rows, ::columns]
        unique: Image = np.bitwise_xor(shifted, self.noise() & np.uint8(1))
        return unique


def frame_of_call(frames: Sequence[Image], call: int) -> Image:
    """Return the input of one call of :func:`harness.worker.measure.fresh_frames`.

    Parameters
    ----------
    frames
        Frames that were sent to the worker, H x W x 3, uint8.
    call
        Number of the call, from 0.
    """
    turn, index = divmod(call, len(frames))
    frame = frames[index]
    if not turn:
        return frame
    grain = np.roll(frame, grain_of_turn(turn), axis=(0, 1)) & np.uint8(1)
    varied: Image = np.roll(frame, shift_of_turn(turn), axis=(0, 1)) ^ grain
    return varied


def shift_of_turn(turn: int) -> tuple[int, int]:
    """Return the shift of frames, in rows and columns, in pass number `turn` through the list of frames."""
    return turn, 3 * turn + 1


def grain_of_turn(turn: int) -> tuple[int, int]:
    """Return the shift, in rows and columns, of the frame whose lowest bits are added in pass number `turn`."""
    return 7 * turn + 3, 2 * turn + 5
