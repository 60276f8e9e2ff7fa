"""Small pieces of the outputs, kept so that a reader can look at the pixels behind a figure.

    crops/crops.json           which pieces of which images, see `Window`
    crops/00/hr.webp           the truth
    crops/00/reference.webp    the track's reference interpolation
    crops/00/models/SLUG.webp  what one model made of it

Pictures are lossless. A piece is chosen before any model has run, where the reference loses most, so that every model
shows the same piece and a run can resume.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from harness.errors import ResultsError
from harness.results.schema import Record
from harness.results.store import write_atomically

SIZE = 192
"""Width and height of a piece in HR pixels."""
MOST_IMAGES = 8
"""Pieces of more images would make a run's folder large."""

_Image = NDArray[np.uint8]


class Window(Record):
    """One piece: pixels ``[y, y + height) x [x, x + width)`` of an HR image."""

    image: str
    """Name of the image."""
    folder: str
    """Name of its folder in ``crops/``."""
    x: int
    y: int
    width: int
    height: int


class CropStore:
    """Writes and reads the pieces of one run.

    Parameters
    ----------
    folder
        The run's folder.
    dataset
        Fingerprint of the data set, for a writer: pieces of other images that lie here are removed.
    """

    def __init__(self, folder: Path, dataset: str | None = None) -> None:
        self._folder = folder / "crops"
        if dataset is not None:
            self._belong_to(dataset)
        self._windows = {window.image: window for window in self.windows()}

    def _belong_to(self, dataset: str) -> None:
        marker = self._folder / "dataset"
        if marker.is_file() and marker.read_text() == dataset:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        write_atomically(marker, dataset.encode())

    def windows(self) -> list[Window]:
        """Return the pieces that the run keeps, in the order of its images; none where it keeps none.

        Raises
        ------
        ResultsError
            The list is damaged.
        """
        file = self._folder / "crops.json"
        if not file.is_file():
            return []
        try:
            return [Window.model_validate(one) for one in json.loads(file.read_bytes())]
        except (ValueError, ValidationError) as error:
            raise ResultsError(f"the list of crops cannot be read: {error}", where=str(file)) from error

    def begin(self, image: str, hr: _Image, reference: _Image, size: int = SIZE) -> None:
        """Choose a piece of an image and keep its truth and its interpolation, unless that was done before.

        Parameters
        ----------
        image
            Name of the image.
        hr, reference
            H x W x 3, the truth and the track's interpolation of its LR.
        size
            Width and height of the piece; an image that is smaller is kept whole.
        """
        if image in self._windows or len(self._windows) >= MOST_IMAGES:
            return
        y, x, height, width = worst_window(hr, reference, size)
        window = Window(image=image, folder=f"{len(self._windows):02d}", x=x, y=y, width=width, height=height)
        self._save(window, "hr", hr)
        self._save(window, "reference", reference)
        self._windows[image] = window
        content: list[dict[str, Any]] = [one.model_dump() for one in self._windows.values()]
        write_atomically(self._folder / "crops.json", json.dumps(content, indent=1).encode())

    def add(self, image: str, slug: str, sr: _Image) -> None:
        """Keep what one model made of a chosen piece; other images are passed over.

        Parameters
        ----------
        image
            Name of the image.
        slug
            Folder-safe name of the model.
        sr
            H x W x 3, the model's output for the whole image.
        """
        if image in self._windows:
            self._save(self._windows[image], f"models/{slug}", sr)

    def path(self, window: Window, name: str) -> Path:
        """Return where a picture of a piece lies: ``hr``, ``reference`` or ``models/SLUG``."""
        return self._folder / window.folder / f"{name}.webp"

    def _save(self, window: Window, name: str, image: _Image) -> None:
        piece = image[window.y : window.y + window.height, window.x : window.x + window.width]
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(piece)).save(stream, "WEBP", lossless=True, quality=50)
        write_atomically(self.path(window, name), stream.getvalue())


def worst_window(hr: _Image, reference: _Image, size: int) -> tuple[int, int, int, int]:
    """Return (y, x, height, width) of the square in which the reference has the largest squared error.

    Squares begin at every quarter of their size, so that the search is quick and its result steady.
    """
    height, width = min(size, hr.shape[0]), min(size, hr.shape[1])
    loss = np.square(hr.astype(np.int32) - reference.astype(np.int32)).sum(axis=2, dtype=np.int64)
    table = np.pad(loss.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    tops, lefts = _starts(hr.shape[0], height), _starts(hr.shape[1], width)
    ends_y, ends_x = tops + height, lefts + width
    sums = table[np.ix_(ends_y, ends_x)] - table[np.ix_(tops, ends_x)] - table[np.ix_(ends_y, lefts)]
    sums = sums + table[np.ix_(tops, lefts)]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(tops[row]), int(lefts[column]), height, width


def _starts(length: int, size: int) -> NDArray[np.int64]:
    steps: Sequence[int] = [*range(0, length - size, max(1, size // 4)), length - size]
    return np.array(steps, dtype=np.int64)
