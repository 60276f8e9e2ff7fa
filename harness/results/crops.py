"""Crops of the outputs, stored for visual comparison in the report.

    crops/crops.json           list of crops, see `Window`
    crops/00/hr.webp           ground truth
    crops/00/reference.webp    reference interpolation of the track
    crops/00/lr.webp           LR pixels, each repeated to the size that it has in HR
    crops/00/whole.webp        the whole image, small, to show where the crop lies
    crops/00/models/SLUG.webp  output of one model

Images are stored losslessly. During a run, the crops of each image with the largest error of the reference are stored
as candidates. When all models have run, only the candidate of each image on which the models differ most is kept. A
resumed run continues with the stored candidates.
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

from harness.errors import ResultsError, UsageError
from harness.files import write_atomically
from harness.results.reading import reading
from harness.results.record import Record
from harness.results.worst_windows import worst_windows
from harness.text import composed

SIZE = 192
"""Width and height of a crop, HR pixels."""
MOST_IMAGES = 8
"""Largest number of images with a crop, to limit the size of a run's folder."""
MOST_CANDIDATES = 48
"""Largest number of candidates during a run, for all images together."""
MOST_OF_AN_IMAGE = 4
"""Largest number of candidates per image."""

_OVERVIEW = 240  # largest width and height of the small whole image, pixels

_Image = NDArray[np.uint8]
Why = Literal["loss", "dispute", "choice", "whole"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A square that the user selected: ``size`` HR pixels wide and high, with its upper left corner at ``x``, ``y``."""

    image: str
    x: int
    y: int
    size: int


def parse_choice(text: str) -> Choice:
    """Parse ``IMAGE:X,Y,SIZE``.

    Raises
    ------
    UsageError
        The text has another format, or a number is out of range.
    """
    # From the right, since names of images may hold colons.
    image, _, numbers = text.rpartition(":")
    try:
        x, y, size = (int(number) for number in numbers.split(","))
    except ValueError:
        x, y, size = -1, -1, 0
    if not image or min(x, y) < 0 or size < 1:
        raise UsageError(
            f"{text!r} is not a crop",
            hint="write IMAGE:X,Y,SIZE in HR pixels, IMAGE being one of the run's images",
        )
    # Names of images of data sets are in composed form, too.
    return Choice(composed(image), x, y, size)


class Window(Record):
    """One crop: pixels ``[y, y + height) x [x, x + width)`` of an HR image."""

    image: str
    """Name of the image."""
    folder: str
    """Name of its folder in ``crops/``."""
    x: int
    y: int
    width: int
    height: int
    why: Why = "loss"
    """Reason: largest error of the reference, largest difference of models, selected by the user, or whole image."""
    dispute: float | None = None
    """Standard deviation over the models, root mean square over all values of the crop, in levels of 0 to 255."""

    image_size: tuple[int, int] | None = None
    """Width and height of the whole HR image; None in runs of earlier releases."""

    @property
    def place(self) -> tuple[str, int, int, int, int]:
        """The image and the pixels of the crop."""
        return self.image, self.x, self.y, self.width, self.height


class CropStore:
    """Writes and reads the crops of one run.

    Parameters
    ----------
    folder
        Folder of the run.
    dataset
        Fingerprint of the data set, for writing: crops of another data set are deleted. None for reading.
    images
        Names of all images of the data set, for writing: candidates are distributed over them.
    choices
        Crops that the user selected; always kept.
    whole
        Whether to store every image as a whole, too.
    size
        Width and height of crops that are not selected by the user.
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
            self._discard_other_dataset(dataset)
        self._windows = self._read() if dataset is None else self._read_or_discard()
        self._choices, self._whole, self._size = choices, whole, size
        # With more images than candidates, every step-th image is searched; with fewer, each gets the same share.
        step = max(1, -(-len(images) // MOST_CANDIDATES))  # ceiling division
        self._searched = set(images[::step])
        self._of_an_image = max(1, min(MOST_OF_AN_IMAGE, MOST_CANDIDATES // max(1, len(images))))
        self._begun: set[str] = set()

    def _discard_other_dataset(self, dataset: str) -> None:
        """Delete stored crops if they belong to another data set."""
        marker = self._folder / "dataset"
        if marker.is_file() and marker.read_bytes() == dataset.encode():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        # After the deletion: the next run repeats one that was interrupted.
        write_atomically(marker, dataset.encode())

    def windows(self) -> list[Window]:
        """Return the crops to show: one per image, those that the user selected, and the whole images.

        For an unfinished run, the first candidate of each image is returned.
        """
        # Reversed, so that the first candidate of an image replaces the later ones.
        first = {window.image: window for window in reversed(self._windows) if window.why == "loss"}
        candidates = [window for window in self._windows if first.get(window.image) is window][:MOST_IMAGES]
        return [window for window in self._windows if window.why != "loss" or window in candidates]

    def _read(self) -> list[Window]:
        file = self._folder / "crops.json"
        if not file.is_file():
            return []
        with reading(file, "the list of crops cannot be read"):
            windows = [Window.model_validate(one) for one in json.loads(file.read_bytes())]
            # The name becomes part of paths that are read and deleted.
            if any(not window.folder.isdecimal() or not window.folder.isascii() for window in windows):
                raise ValueError("a crop's folder is not a number")
            return windows

    def _read_or_discard(self) -> list[Window]:
        """Return the stored crops; delete them if their list is damaged, so that they are made again."""
        try:
            return self._read()
        except ResultsError:
            shutil.rmtree(self._folder, ignore_errors=True)
            return []

    def wants(self, image: str) -> bool:
        """Return whether crops of an image are still to be chosen, for which :meth:`begin` needs its interpolation."""
        is_chosen = self._whole or any(choice.image == image for choice in self._choices)
        return image not in self._begun and (is_chosen or self._is_searched(image))

    def begin(self, image: str, hr: _Image, reference: _Image, lr: _Image | None = None) -> None:
        """Choose crops of an image and store their ground truth and interpolation. A second call has no effect.

        Parameters
        ----------
        image
            Name of the image.
        hr, reference
            Ground truth and the track's interpolation of its LR image, H x W x 3, uint8. An image that is smaller than
            a crop is stored as a whole.
        lr
            The LR image, h x w x 3, uint8.
        """
        if image in self._begun:
            return
        self._begun.add(image)
        stored = {(window.why, window.place) for window in self._windows}
        # Crops that an earlier part of the run stored are kept.
        wanted = [one for one in self._wanted(image, hr, reference) if (one.why, one.place) not in stored]
        for window in wanted:
            size = (hr.shape[1], hr.shape[0])
            numbered = window.model_copy(update={"folder": self._next_folder(), "image_size": size})
            # A run that was killed before it wrote the list may have left files there.
            shutil.rmtree(self._folder / numbered.folder, ignore_errors=True)
            self._save(numbered, "hr", hr)
            self._save(numbered, "reference", reference)
            write_atomically(self.path(numbered, "whole"), _overview(hr))
            if lr is not None:
                self._save(numbered, "lr", _repeated(lr, hr.shape[0] // lr.shape[0]))
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
            # The folder is numbered later, in `begin`.
            found.append(Window(image=image, folder="", x=0, y=0, width=width, height=height, why="whole"))
        if self._is_searched(image):
            places = worst_windows(hr, reference, self._size, self._of_an_image)
            found += [_window(image, x, y, self._size, hr, "loss") for y, x, _, _ in places]
        return found

    def _is_searched(self, image: str) -> bool:
        """Return whether an image lacks candidates that it is to have, and no final crops of this run were chosen."""
        return image in self._searched and not any(
            window.why == "dispute" or (window.why == "loss" and window.image == image) for window in self._windows
        )

    def add(self, image: str, slug: str, sr: _Image) -> None:
        """Store the crops of one model's output. Does nothing for an image without crops.

        Parameters
        ----------
        image
            Name of the image.
        slug
            Slug of the model.
        sr
            Output of the model for the whole image, H x W x 3, uint8.
        """
        for window in self._windows:
            if window.image == image:
                self._save(window, f"models/{slug}", sr)

    def take_over(self, other: CropStore, slugs: Sequence[str]) -> None:
        """Copy crops of models from another run of the same data set, which has chosen its crops in the same way.

        Parameters
        ----------
        other
            Crops that were stored elsewhere.
        slugs
            Slugs of the models.
        """
        known = {(window.why, window.place): window for window in self._windows}
        for window in other._windows:
            # A crop is the same if it was chosen for the same reason at the same place.
            kept = known.get((window.why, window.place))
            # Folders are numbered in each run on its own, so that equal crops may have different numbers.
            if kept is None:
                kept = window.model_copy(update={"folder": self._next_folder()})
                shutil.rmtree(self._folder / kept.folder, ignore_errors=True)
                self._windows.append(kept)
                self._copy(other, window, kept, ["hr", "reference", "lr", "whole"])
            self._copy(other, window, kept, [f"models/{slug}" for slug in slugs])
        self._write()

    def _copy(self, other: CropStore, source: Window, target: Window, names: Sequence[str]) -> None:
        for name in names:
            path = other.path(source, name)
            if path.is_file():
                write_atomically(self.path(target, name), path.read_bytes())

    def unseen(self) -> list[Choice]:
        """Return the user's crops without stored images, because no model has run since they were selected."""
        kept = {(one.image, one.x, one.y, one.width, one.height) for one in self._windows if one.why == "choice"}
        return [one for one in self._choices if (one.image, one.x, one.y, one.size, one.size) not in kept]

    def keep_most_disputed(self, slugs: Sequence[str]) -> None:
        """Keep only the candidate of each image on which the given models differ most, for at most eight images.

        The images with the largest differences are kept. Without outputs of at least two models, nothing changes.
        """
        # Only candidates: crops that the user selected and whole images stay as they are.
        disputes = {window.folder: self._dispute(window, slugs) for window in self._windows if window.why == "loss"}
        candidates = [window for window in self._windows if disputes.get(window.folder) is not None]
        if not candidates:
            return
        # The folder makes the order reproducible where differences are equal.
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
        self._write()  # before the deletion: if it is interrupted, the list contains no deleted crop
        for window in dropped:
            shutil.rmtree(self._folder / window.folder, ignore_errors=True)

    def _dispute(self, window: Window, slugs: Sequence[str]) -> float | None:
        """Return how much the models differ on a crop, see ``Window.dispute``; None for fewer than two models."""
        paths = [path for slug in slugs if (path := self.path(window, f"models/{slug}")).is_file()]
        if len(paths) < 2:
            return None
        pictures = []
        for path in paths:
            try:
                with Image.open(path) as picture:
                    pictures.append(np.asarray(picture.convert("RGB"), dtype=np.float32))
            except (OSError, ValueError, Image.DecompressionBombError):  # a damaged file of an earlier run
                return None
        if len({picture.shape for picture in pictures}) > 1:
            return None
        return float(np.sqrt(np.stack(pictures).var(axis=0).mean()))

    def path(self, window: Window, name: str) -> Path:
        """Return the path of one image of a crop: ``hr``, ``reference``, ``lr``, ``whole`` or ``models/SLUG``."""
        return self._folder / window.folder / f"{name}.webp"

    def _next_folder(self) -> str:
        return f"{1 + max((int(window.folder) for window in self._windows), default=-1):02d}"

    def _write(self) -> None:
        content: list[dict[str, Any]] = [one.model_dump() for one in self._windows]
        write_atomically(self._folder / "crops.json", json.dumps(content, indent=1).encode())

    def _save(self, window: Window, name: str, image: _Image) -> None:
        piece = image[window.y : window.y + window.height, window.x : window.x + window.width]
        stream = io.BytesIO()
        # Lossless WebP at the default effort takes twenty times as long, more than all metrics of the image, for files
        # that are one eighth smaller.
        Image.fromarray(np.ascontiguousarray(piece)).save(stream, "WEBP", lossless=True, quality=0, method=0)
        write_atomically(self.path(window, name), stream.getvalue())


def _overview(hr: _Image) -> bytes:
    small, stream = Image.fromarray(np.ascontiguousarray(hr)), io.BytesIO()
    small.thumbnail((_OVERVIEW, _OVERVIEW))
    # Lossy, because the picture only shows a place.
    small.save(stream, "WEBP", quality=80)
    return stream.getvalue()


def _repeated(lr: _Image, scale: int) -> _Image:
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


def _window(image: str, x: int, y: int, size: int, hr: _Image, why: Why) -> Window:
    height, width = min(size, hr.shape[0] - y), min(size, hr.shape[1] - x)
    return Window(image=image, folder="", x=x, y=y, width=width, height=height, why=why)
