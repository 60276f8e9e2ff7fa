"""Quality of timed outputs: parts of them are compared with the HR images that their frames were made from.

A network that recognises timed frames by any means, and does less work for them returns worse images for them. No
call of its own shows that if it also recognises the calls that are compared. Frames are made from the images that are
scored, though, so the timed outputs themselves can be judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import WorkerError
from harness.timing.checks import GRAIN
from harness.timing.frames import Image, Origin
from harness.timing.strips import Strips, draw_strips

MAX_PARTS = 64
"""Number of timed outputs of a network of which parts are kept."""
PARTS_OF_TURN = 4
"""Number of these outputs in one turn."""
_MIN_PARTS = 3
_MIN_STRIPS = 16
_STRIPS = 128  # of an output that is known as a whole
MAX_LOSS_DB = 0.3
"""Loss of quality that counts if it exceeds this by a few standard errors."""
_NO_LOSS_DB = 0.2  # below this, with as many standard errors added, an output is as good
_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class TimedPart:
    """Strips of one timed output, rounded: MAX_PARTS of them, 512 pixels wide, take 0.8 MB.

    Attributes
    ----------
    origin
        How its frame was made.
    places
        Row and first column of each strip in the output, STRIPS x 2.
    levels
        STRIPS x width x 3, uint8.
    """

    origin: Origin
    places: NDArray[np.int64]
    levels: NDArray[np.uint8]

    @classmethod
    def of(cls, origin: Origin, strips: Strips) -> TimedPart:
        """Return the part of an output of which these are the strips.

        Raises
        ------
        WorkerError
            Values are not finite. No error could be computed from them, so that one could hide what others show.
        """
        if not np.isfinite(strips.values).all():
            # Not called a cheat: outputs of other calls may hold such values, too.
            what = "the output of a timed call has values that are NaN or infinite"
            raise WorkerError(what, stage="time", kind="ContractError")
        return cls(origin, strips.places, strips.rounded().astype(np.uint8))

    @classmethod
    def drawn(cls, origin: Origin, image: Image, rng: np.random.Generator) -> TimedPart:
        """Return a part with many strips, at random places, of an output that is known as a whole."""
        return cls.of(origin, draw_strips(image, rng, _STRIPS))

    def split(self) -> list[TimedPart]:
        """Return a part for each strip. The strips of few outputs show better than their sums what is chance."""
        strips = range(len(self.places))
        return [TimedPart(self.origin, self.places[[one]], self.levels[[one]]) for one in strips]


@dataclass(frozen=True, slots=True)
class Errors:
    """Squared errors of one timed output in its strips, in levels.

    Attributes
    ----------
    timed
        Sum over the values of the timed output.
    scored
        Sum over the same values of the image that is scored.
    count
        Number of values.
    """

    timed: float
    scored: float
    count: int


def errors_of(part: TimedPart, scored: Image, truth: Image, scale: int, edge: int) -> Errors:
    """Compare strips with the image that is scored and with the HR image.

    Parameters
    ----------
    part
        Strips of a timed output.
    scored, truth
        The network's output for the image of which the frame was made, and its HR image; H x W x 3, uint8.
    scale
        Upscaling factor.
    edge
        Pixels of the output beside each edge of the frame and of the image that are not compared.
    """
    timed = scored_sum = 0.0
    count = 0
    width = part.levels.shape[1]
    height_out, width_out = (scale * side for side in part.origin.size)
    # Divide by the gain of the frame, so that the output can be compared with the image.
    levels = np.minimum(part.levels / np.float32(part.origin.gain), 255)
    for (row, left), values in zip(part.places.tolist(), levels, strict=True):
        rows, columns = np.array([row]), np.arange(left, left + width)
        y, is_row = _places(rows, part.origin.row_of(rows, scale), height_out, truth.shape[0], edge)
        x, inside = _places(columns, part.origin.column_of(columns, scale), width_out, truth.shape[1], edge)
        if not is_row[0]:
            continue
        wanted = truth[y[0], x[inside]].astype(np.float32)
        timed += _squares(values[inside], wanted)
        scored_sum += _squares(scored[y[0], x[inside]].astype(np.float32), wanted)
        count += wanted.size
    return Errors(timed, scored_sum, count)


def _places(
    given: NDArray[np.int64], unrolled: NDArray[np.int64], frame_side: int, side: int, edge: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return which rows or columns of an image are in those of a frame, and whether they are far from all edges.

    Parameters
    ----------
    given, unrolled
        Places in the frame, and in the frame before it was rolled, which an image begins and its mirror images fill.
    frame_side, side
        Sides of frame and image.
    edge
        Pixels beside each edge that are not compared.
    """
    # A frame larger than the image repeats image and mirror image with a period of two sides.
    mirrored = unrolled % (2 * side)
    found = np.minimum(mirrored, 2 * side - 1 - mirrored)
    inside = np.ones(given.shape, bool)
    for places, length in ((given, frame_side), (unrolled, frame_side), (found, side)):
        inside &= (places >= edge) & (places < length - edge)
    return found, inside


def loss_db(parts: Sequence[Errors]) -> tuple[float, float] | None:
    """Return by how many dB timed outputs are worse than the images that are scored, and its standard error.

    None if there are too few parts.
    """
    known = [part for part in parts if part.count]
    if len(known) < _MIN_PARTS:
        return None
    sums = np.array([[part.timed, part.scored, part.count] for part in known])
    losses = np.array([_loss(sums.sum(axis=0) - one) for one in sums])  # without one part each
    # Jackknife variance of the loss: (n - 1) / n times the sum of squared deviations.
    spread = float(np.square(losses - losses.mean()).sum()) * (len(known) - 1) / len(known)
    return _loss(sums.sum(axis=0)), math.sqrt(spread)


def find_loss(parts: Sequence[Errors]) -> float | None:
    """Return by how many dB timed outputs are worse, if that is beyond chance and what their frames explain."""
    found = loss_db(parts)
    if found is None:
        return None
    loss, error = found
    return loss if loss - _STANDARD_ERRORS * error > MAX_LOSS_DB else None


def is_as_good(parts: Sequence[Errors], typical_error: float) -> bool:
    """Return whether timed outputs are certainly as good as the images that are scored.

    Parameters
    ----------
    parts
        Errors of single strips.
    typical_error
        Mean squared error of the scored image, in levels. Strips that show less than half of it lie in flat areas,
        where any network is good.
    """
    known = [part for part in parts if part.count]
    found = loss_db(known)
    if found is None or len(known) < _MIN_STRIPS:
        return False
    loss, error = found
    scored = sum(part.scored for part in known) / sum(part.count for part in known)
    return loss + _STANDARD_ERRORS * error < _NO_LOSS_DB and scored >= typical_error / 2


def _loss(sums: NDArray[np.float64]) -> float:
    timed, scored, count = sums
    # GRAIN as in `checks._loss_db`; the maximum avoids log(0).
    return 10 * math.log10(max(timed / count, 1e-3) / (scored / count + GRAIN))


def _squares(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.square(one - other).sum(dtype=np.float64))
