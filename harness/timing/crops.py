"""Outputs for small crops of a frame, in place of the output for the whole frame.

Each output pixel of a convolutional network depends on a neighbourhood of its input. Unless the network also has global
operations, such as pooling over the image, its output for a crop is therefore part of its output for the frame, except
near the edges of the crop. The crops around the strips of one output cost 8 % of a call on a frame of 1080 x 1920.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.errors import DISQUALIFIED, WorkerError
from harness.timing.frames import Image
from harness.timing.strips import Strips

_MARGIN = 24  # pixels of the frame around each strip
_ALIGNMENT = 8  # of crops: networks that gather pixels in blocks need the same blocks as in the frame
_MAX_SHARE = 0.4  # of the pixels of a frame in all crops, beyond which they save too little
_LONG_CALL_MS = 400.0
_PART = 4  # sides of a frame divided by those of its part

# Errors of a call that no other size of the input would have prevented.
_NOT_FOR_ITS_SIZE = (DISQUALIFIED, "ProtocolError", "Timeout", "Crash", "MemoryLimit", "TaskLimit", "FileLimit")


def crops_pay(call_ms: float) -> bool:
    """Return whether a call takes so long that calls for the crops of its frame cost much less."""
    return call_ms > _LONG_CALL_MS


def accepts_no_such_size(error: WorkerError) -> bool:
    """Return whether a call for a crop may have failed because of its size."""
    return error.kind not in _NOT_FOR_ITS_SIZE


def part_of(frame: Image) -> Image:
    """Return a part of a frame, a quarter of its height and of its width."""
    height, width = (max(_ALIGNMENT, side // _PART // _ALIGNMENT * _ALIGNMENT) for side in frame.shape[:2])
    return np.ascontiguousarray(frame[:height, :width])


def _crop(frame: Image, row: int, column: int, width: int, scale: int) -> tuple[slice, slice]:
    """Return the rows and columns of a frame that surround one row of `width` pixels of its output."""

    def bounds(first: int, last: int, side: int) -> slice:
        low = max(0, first // scale - _MARGIN) // _ALIGNMENT * _ALIGNMENT
        high = -(-(last // scale + 1 + _MARGIN) // _ALIGNMENT) * _ALIGNMENT
        return slice(low, min(side, high))

    return bounds(row, row, frame.shape[0]), bounds(column, column + width - 1, frame.shape[1])


def upscale_strips(
    upscale: Callable[[Image], Image], frame: Image, strips: Strips, scale: int
) -> NDArray[np.float32] | None:
    """Return the parts of an output where strips of it are, made from crops of its frame.

    Parameters
    ----------
    upscale
        Upscales a frame of any size.
    frame
        Input, H x W x 3, uint8.
    strips
        Says which parts.
    scale
        Upscaling factor.

    Returns
    -------
    NDArray or None
        STRIPS x width x 3, in levels; None if the crops would have too large a share of a small frame.
    """
    width = strips.values.shape[1]
    places = [(int(row), int(column)) for row, column in strips.places]
    crops = [_crop(frame, row, column, width, scale) for row, column in places]
    pixels = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in crops)
    if pixels > _MAX_SHARE * frame.shape[0] * frame.shape[1]:
        return None
    parts = []
    for (row, column), (rows, columns) in zip(places, crops, strict=True):
        image = upscale(np.ascontiguousarray(frame[rows, columns]))
        left = column - scale * columns.start
        parts.append(image[row - scale * rows.start, left : left + width])
    return np.stack(parts).astype(np.float32)
