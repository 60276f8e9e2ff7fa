"""Pieces of the outputs, kept so that a reader can look at the pixels behind a figure.

    crops/crops.json           which pieces of which images, see `Window`
    crops/00/hr.webp           the truth
    crops/00/reference.webp    the track's reference interpolation
    crops/00/models/SLUG.webp  what one model made of it

Pictures are lossless. While a run goes on, a few candidates of every image are kept, where the reference loses most;
when all models have run, the piece of each image stays on which they differ most. A run that resumes goes on with what
it has.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from harness.errors import ResultsError, UsageError
from harness.files import write_atomically
from harness.results.schema import Record

SIZE = 192
"""Width and height of a piece in HR pixels."""
MOST_IMAGES = 8
"""Pieces of more images would make a run's folder large."""
MOST_CANDIDATES = 48
"""Pieces that are kept while a run goes on, of all images together."""
MOST_OF_AN_IMAGE = 4

_Image = NDArray[np.uint8]
Why = Literal["loss", "dispute", "choice", "whole"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A square that somebody wants to see: ``size`` HR pixels wide and high, its upper left corner at ``x``, ``y``."""

    image: str
    x: int
    y: int
    size: int


def parse_choice(text: str) -> Choice:
    """Read ``IMAGE:X,Y,SIZE``.

    Raises
    ------
    UsageError
        It is something else, or a number is negative.
    """
    image, _, numbers = text.rpartition(":")
    try:
        x, y, size = (int(number) for number in numbers.split(","))
    except ValueError:
        x, y, size = -1, -1, 0
    if not image or min(x, y) < 0 or size < 1:
        raise UsageError(
            f"{text!r} names no crop", hint="write IMAGE:X,Y,SIZE in HR pixels, such as castle:640,320,192"
        )
    return Choice(image, x, y, size)


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
    why: Why = "loss"
    """Whether the reference loses most there, the models differ most, somebody chose it, or it is the whole image."""
    dispute: float | None = None
    """Standard deviation of a sample over the models, root mean square over the piece, of 255 levels."""

    @property
    def place(self) -> tuple[str, int, int, int, int]:
        """Which pixels it holds."""
        return self.image, self.x, self.y, self.width, self.height


class CropStore:
    """Writes and reads the pieces of one run.

    Parameters
    ----------
    folder
        The run's folder.
    dataset
        Fingerprint of the data set, for a writer: pieces of other images that lie here are removed.
    images
        Names of all images of the data set, for a writer: the candidates are spread over them.
    choices
        Squares to keep whatever the models do there.
    whole
        Whether every image is kept whole as well.
    size
        Width and height of a piece that is not chosen.
    """

    def __init__(
        self,
        folder: Path,
        dataset: str | None = None,
        *,
        images: Sequence[str] = (),
        choices: Sequence[Choice] = (),
        whole: bool = False,
        size: int = SIZE,
    ) -> None:
        self._folder = folder / "crops"
        if dataset is not None:
            self._belong_to(dataset)
        self._windows = self._read()
        self._choices, self._whole, self._size = choices, whole, size
        step = max(1, -(-len(images) // MOST_CANDIDATES))
        self._searched = set(images[::step])
        self._of_an_image = max(1, min(MOST_OF_AN_IMAGE, MOST_CANDIDATES // max(1, len(images))))
        self._begun: set[str] = set()

    def _belong_to(self, dataset: str) -> None:
        marker = self._folder / "dataset"
        if marker.is_file() and marker.read_text() == dataset:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        write_atomically(marker, dataset.encode())

    def windows(self) -> list[Window]:
        """Return the pieces that the run keeps: one of each image, the chosen ones, the whole images.

        A run that was cut short has candidates; the first of each image is then given.
        """
        first = {window.image: window for window in reversed(self._windows) if window.why == "loss"}
        candidates = [window for window in self._windows if first.get(window.image) is window][:MOST_IMAGES]
        return [window for window in self._windows if window.why != "loss" or window in candidates]

    def _read(self) -> list[Window]:
        file = self._folder / "crops.json"
        if not file.is_file():
            return []
        try:
            return [Window.model_validate(one) for one in json.loads(file.read_bytes())]
        except (ValueError, ValidationError) as error:
            raise ResultsError(f"the list of crops cannot be read: {error}", where=str(file)) from error

    def has_begun(self, image: str) -> bool:
        """Return whether the pieces of an image are chosen, so that nobody need make its interpolation again."""
        return image in self._begun

    def begin(self, image: str, hr: _Image, reference: _Image) -> None:
        """Choose pieces of an image and keep their truth and interpolation, unless that was done before.

        Parameters
        ----------
        image
            Name of the image.
        hr, reference
            H x W x 3, the truth and the track's interpolation of its LR; an image that is smaller than a piece is
            kept whole.
        """
        if self.has_begun(image):
            return
        self._begun.add(image)
        there = {(window.why, window.place) for window in self._windows}
        wanted = [one for one in self._wanted(image, hr, reference) if (one.why, one.place) not in there]
        for window in wanted:
            numbered = window.model_copy(update={"folder": self._next_folder()})
            shutil.rmtree(self._folder / numbered.folder, ignore_errors=True)  # what a killed run left there
            self._save(numbered, "hr", hr)
            self._save(numbered, "reference", reference)
            self._windows.append(numbered)
        if wanted:
            self._write()

    def _wanted(self, image: str, hr: _Image, reference: _Image) -> list[Window]:
        height, width = hr.shape[:2]
        found = [
            _window(image, min(choice.x, width - 1), min(choice.y, height - 1), choice.size, hr, "choice")
            for choice in self._choices
            if choice.image == image
        ]
        if self._whole:
            found.append(Window(image=image, folder="", x=0, y=0, width=width, height=height, why="whole"))
        if image in self._searched and not self._is_settled(image):
            places = worst_windows(hr, reference, self._size, self._of_an_image)
            found += [_window(image, x, y, self._size, hr, "loss") for y, x, _, _ in places]
        return found

    def _is_settled(self, image: str) -> bool:
        """Return whether the pieces of this run were chosen, or the candidates of this image are there."""
        return any(
            window.why == "dispute" or (window.why == "loss" and window.image == image) for window in self._windows
        )

    def add(self, image: str, slug: str, sr: _Image) -> None:
        """Keep what one model made of the pieces of an image; images without any are passed over.

        Parameters
        ----------
        image
            Name of the image.
        slug
            Folder-safe name of the model.
        sr
            H x W x 3, the model's output for the whole image.
        """
        for window in self._windows:
            if window.image == image:
                self._save(window, f"models/{slug}", sr)

    def unseen(self) -> list[Choice]:
        """Return the chosen squares of which no picture is kept, as no model has run since they were chosen."""
        kept = {(window.image, window.x, window.y) for window in self._windows if window.why == "choice"}
        return [choice for choice in self._choices if (choice.image, choice.x, choice.y) not in kept]

    def settle(self, slugs: Sequence[str]) -> None:
        """Keep of every image the candidate on which the given models differ most, of the eight images with the most.

        Without two models that have pictures the candidates stay as they are.
        """
        disputes = {window.folder: self._dispute(window, slugs) for window in self._windows if window.why == "loss"}
        candidates = [window for window in self._windows if disputes.get(window.folder) is not None]
        if not candidates:
            return
        candidates.sort(key=lambda window: (-(disputes[window.folder] or 0.0), window.folder))
        best: dict[str, Window] = {}
        for window in candidates:
            best.setdefault(window.image, window)
        kept = list(best.values())[:MOST_IMAGES]
        dropped = [window for window in self._windows if window.why == "loss" and window not in kept]
        self._windows = [
            window.model_copy(update={"why": "dispute", "dispute": round(disputes[window.folder] or 0.0, 4)})
            if window in kept
            else window
            for window in self._windows
            if window not in dropped
        ]
        self._write()
        for window in dropped:
            shutil.rmtree(self._folder / window.folder, ignore_errors=True)

    def _dispute(self, window: Window, slugs: Sequence[str]) -> float | None:
        paths = [path for slug in slugs if (path := self.path(window, f"models/{slug}")).is_file()]
        if len(paths) < 2:
            return None
        pictures = []
        for path in paths:
            with Image.open(path) as picture:
                pictures.append(np.asarray(picture.convert("RGB"), dtype=np.float32))
        return float(np.sqrt(np.stack(pictures).var(axis=0).mean()))

    def path(self, window: Window, name: str) -> Path:
        """Return where a picture of a piece lies: ``hr``, ``reference`` or ``models/SLUG``."""
        return self._folder / window.folder / f"{name}.webp"

    def _next_folder(self) -> str:
        return f"{1 + max((int(window.folder) for window in self._windows), default=-1):02d}"

    def _write(self) -> None:
        content: list[dict[str, Any]] = [one.model_dump() for one in self._windows]
        write_atomically(self._folder / "crops.json", json.dumps(content, indent=1).encode())

    def _save(self, window: Window, name: str, image: _Image) -> None:
        piece = image[window.y : window.y + window.height, window.x : window.x + window.width]
        stream = io.BytesIO()
        # The usual effort takes twenty times as long, more than all metrics of the image, and saves an eighth.
        Image.fromarray(np.ascontiguousarray(piece)).save(stream, "WEBP", lossless=True, quality=0, method=0)
        write_atomically(self.path(window, name), stream.getvalue())


def _window(image: str, x: int, y: int, size: int, hr: _Image, why: Why) -> Window:
    height, width = min(size, hr.shape[0] - y), min(size, hr.shape[1] - x)
    return Window(image=image, folder="", x=x, y=y, width=width, height=height, why=why)


def worst_windows(hr: _Image, reference: _Image, size: int, count: int) -> list[tuple[int, int, int, int]]:
    """Return (y, x, height, width) of up to `count` squares without overlap, the largest squared error first.

    Squares begin at every quarter of their size, so that the search is quick and its result steady.
    """
    height, width = min(size, hr.shape[0]), min(size, hr.shape[1])
    loss = np.square(hr.astype(np.int32) - reference.astype(np.int32)).sum(axis=2, dtype=np.int64)
    table = np.pad(loss.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    tops, lefts = _starts(hr.shape[0], height), _starts(hr.shape[1], width)
    ends_y, ends_x = tops + height, lefts + width
    sums = table[np.ix_(ends_y, ends_x)] - table[np.ix_(tops, ends_x)] - table[np.ix_(ends_y, lefts)]
    sums = sums + table[np.ix_(tops, lefts)]
    found: list[tuple[int, int, int, int]] = []
    while len(found) < count and sums.max() >= 0:
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        top, left = int(tops[row]), int(lefts[column])
        found.append((top, left, height, width))
        near = np.ix_(np.abs(tops - top) < height, np.abs(lefts - left) < width)
        sums[near] = -1
    return found


def _starts(length: int, size: int) -> NDArray[np.int64]:
    steps: Sequence[int] = [*range(0, length - size, max(1, size // 4)), length - size]
    return np.array(steps, dtype=np.int64)
