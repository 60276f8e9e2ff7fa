"""Comparison of timed outputs with untimed outputs of the same frames.

A network could do less work while it is timed. Its timed outputs are therefore compared with what it returns for the
same frames outside the timing. Only a randomly drawn tile is compared: a network cannot know which one, and copying a
whole 4K output takes longer than many networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.timing.checks import disqualify
from harness.timing.frames import Image
from harness.timing.timed_worker import TimedWorker

_TILE = 192  # pixels
_TOLERANCE = {"fp32": 0.01, "fp16": 0.15, "bf16": 1.0}  # mean difference in levels; other kernels round differently
_SPREAD_FACTOR = 3.0  # allowed difference, as a multiple of that between two untimed outputs of one frame
# Levels. Torch's random numbers are seeded alike before each call, so that honest randomness changes very little.
_MAX_ALLOWED_SPREAD = 0.5
_DIFFERENT_INPUTS = 8.0  # mean difference in levels

_TIMED = "the output of a timed call differs from the untimed one of the same frame"
_FIRST = "the output of its first call differs from that of the same frame after the timing"
_LATER = "the output of a timed call differs from that of the same frame after the images had been upscaled"
_OTHER_PROCESS = "the image differs from that of the same frame in another process of the network"

_Place = tuple[int, int, int, int]  # top, left, rows, columns


@dataclass(frozen=True, slots=True)
class OutputTile:
    """A tile of a network's output for one frame.

    Attributes
    ----------
    frame
        Input, H x W x 3, uint8.
    place
        Top, left, rows and columns of the tile in the output.
    values
        The tile, rows x columns x 3, in levels (0 to 255).
    """

    frame: Image
    place: _Place
    values: NDArray[np.float32]


@dataclass(slots=True)
class OutputCheck:
    """Compare a network's timed outputs with untimed ones, in randomly drawn tiles.

    Every method that compares raises WorkerError of the kind `DISQUALIFIED` where outputs differ by more than
    rounding explains.

    Parameters
    ----------
    worker
        Process that runs the network.
    scale
        Upscaling factor.
    precision
        ``fp32``, ``fp16`` or ``bf16``. It determines the allowed difference.
    rng
        Draws the tiles.
    """

    worker: TimedWorker
    scale: int
    precision: str
    rng: np.random.Generator
    _last: OutputTile | None = None
    _first: OutputTile | None = None

    def check(self, frame: Image, untimed: Image | None = None) -> None:
        """Check the output of the last timed call.

        Parameters
        ----------
        frame
            Input of that call, H x W x 3, uint8.
        untimed
            The same frame upscaled outside the timing. By default the worker is asked for it now.

        Raises
        ------
        WorkerError
            Of the kind `DISQUALIFIED`: the outputs differ, or the output does not depend on the input.
        """
        earlier, place = self._last, self._draw(frame)
        tile = self.worker.output(*place)
        # Both tiles are of the same timed output, so ask for both before the worker upscales again.
        repeated = None if earlier is None else self.worker.output(*earlier.place)
        reference = self.worker.upscale(frame) if untimed is None else untimed
        self._compare(tile, reference, frame, place, _TIMED)
        if earlier is not None and repeated is not None:
            same = np.array_equal(earlier.values, repeated)
            if same and self._inputs_differ(frame, earlier.frame, earlier.place):
                disqualify("the same image came back for different frames: an old result was returned")
        self._last = OutputTile(frame, place, tile)

    @property
    def last(self) -> OutputTile | None:
        """Tile of the last timed output that was checked; None before the first check."""
        return self._last

    def remember_first(self, frame: Image) -> None:
        """Keep a tile of the output of the first call, whose input was `frame`, for :meth:`check_first`."""
        place = self._draw(frame)
        self._first = OutputTile(frame, place, self.worker.output(*place))

    def check_first(self) -> None:
        """Compare the output of the first call with an untimed one of the same frame after many more calls."""
        if self._first is not None:
            self._compare_with_untimed(self._first, _FIRST)

    def check_later(self, tile: OutputTile) -> None:
        """Compare a timed output with an untimed one of the same frame after the scored images were upscaled."""
        self._compare_with_untimed(tile, _LATER)

    def upscale_tile(self, frame: Image) -> OutputTile:
        """Upscale `frame` and return a tile of the output, for :meth:`check_same_output` in another process."""
        place = self._draw(frame)
        return OutputTile(frame, place, _part(self.worker.upscale(frame), place))

    def check_same_output(self, tile: OutputTile) -> None:
        """Compare an output of another process of the network with an untimed one of the same frame.

        Every process is timed, and the images of the last one are scored, so all must run the same network.
        """
        self._compare_with_untimed(tile, _OTHER_PROCESS)

    def _compare_with_untimed(self, tile: OutputTile, message: str) -> None:
        self._compare(tile.values, self.worker.upscale(tile.frame), tile.frame, tile.place, message)

    def _compare(self, tile: NDArray[np.float32], reference: Image, frame: Image, place: _Place, message: str) -> None:
        if not np.isfinite(tile).all():
            disqualify("the timed output holds values that are not finite")
        timed = np.clip(np.rint(tile), 0, 255)
        difference = float(np.abs(timed - _part(reference, place)).mean())
        tolerance = _TOLERANCE[self.precision]
        if difference <= tolerance:
            return
        # A network with random elements differs from itself. Measure by how much before calling it a cheat.
        second = self.worker.upscale(frame)
        spread = float(np.abs(_part(second, place) - _part(reference, place)).mean())
        if difference > max(tolerance, min(_SPREAD_FACTOR * spread, _MAX_ALLOWED_SPREAD)):
            disqualify(f"{message} by {difference:.3g} of 255 levels on average; two untimed ones by {spread:.2g}")

    def _draw(self, frame: Image) -> _Place:
        """Draw the place of a tile in the output of `frame`."""
        height, width = (side * self.scale for side in frame.shape[:2])
        rows, columns = min(_TILE, height), min(_TILE, width)
        top, left = self.rng.integers(0, height - rows + 1), self.rng.integers(0, width - columns + 1)
        return int(top), int(left), rows, columns

    def _inputs_differ(self, one: Image, other: Image, place: _Place) -> bool:
        """Return whether two frames differ clearly in the part that belongs to a tile of the output."""
        top, left, rows, columns = (side // self.scale for side in place)
        region = np.s_[top : top + max(1, rows), left : left + max(1, columns)]
        difference = np.abs(one[region].astype(np.int16) - other[region])
        return float(difference.mean()) > _DIFFERENT_INPUTS


def _part(image: Image, place: _Place) -> NDArray[np.float32]:
    top, left, rows, columns = place
    return image[top : top + rows, left : left + columns].astype(np.float32)
