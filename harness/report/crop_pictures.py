"""Pieces of images that a run stored: of its crops, of whole images, and of saved outputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import ResultsError, UsageError
from harness.results.crops import Choice, CropStore, Window
from harness.results.run_folder import RunFolder, is_file_name
from harness.results.schema import Entry
from harness.suggestions import choice

Pixels = NDArray[np.uint8]
_MOST_LISTED = 6


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole image, possibly smaller, with the place of a crop as shares of width and height."""

    pixels: Pixels
    left: float
    top: float
    width: float
    height: float


class CropPictures:
    """Pictures of one crop from the folder of a run.

    Parameters
    ----------
    folder
        A run.
    wanted
        The crop. What lies outside of the image is cut off.

    Attributes
    ----------
    image
        Name of the image.
    box
        Left, upper, right and lower edge, HR pixels.

    Raises
    ------
    UsageError
        The data set has no such image, or the run did not keep the ground truth there.
    """

    def __init__(self, folder: RunFolder, wanted: Choice) -> None:
        self._folder, self._store = folder, CropStore(folder.path)
        windows = self._store.windows()
        # Images of runs of earlier releases may be known from their crops only.
        known = dict.fromkeys([*folder.run.dataset.image_names, *(window.image for window in windows)])
        if wanted.image not in known:
            raise UsageError(f"the run has no image {wanted.image!r}", hint=choice(wanted.image, known))
        # Tables of a run with several data sets put a label before names; its crops are of the first data set.
        self.image = wanted.image.removeprefix("".join(f"{one.label}/" for one in folder.run.datasets[:1]))
        self._windows = [window for window in windows if window.image == self.image]
        self.box = self._clipped(wanted)
        # Without the ground truth no figure could be computed and no comparison shown.
        if self._stored("hr") is None:
            raise UsageError(f"the run did not keep {self._place}", where=str(folder.path), hint=self._remedy())

    @property
    def truth(self) -> Pixels:
        """The ground truth, H x W x 3, uint8."""
        found = self._stored("hr")
        assert found is not None
        return found

    @property
    def reference(self) -> Pixels | None:
        """The interpolation of the track, H x W x 3, uint8; None if it was not kept."""
        return self._stored("reference")

    def of_model(self, entry: Entry) -> Pixels:
        """Return the output of a model, H x W x 3, uint8.

        Raises
        ------
        UsageError
            It was not kept.
        ResultsError
            Its file is damaged or has another size.
        """
        found = self._output(entry)
        if found is None:
            raise UsageError(f"the run did not keep {self._place} of {entry.name!r}", hint=self.again)
        return found

    def has(self, entry: Entry) -> bool:
        """Return whether the output of a model was kept."""
        return self._output(entry) is not None

    @property
    def again(self) -> str:
        """How to measure so that the crop is kept."""
        return f"measure again with --crop {self._place} --fresh, or with --images full --fresh for every place"

    @cached_property
    def overview(self) -> Overview | None:
        """The whole image; None if the run kept no picture of it."""
        for window in self._windows:
            # Width and height of the whole image in HR pixels, by which the place of the crop is expressed.
            size, name = (window.width, window.height), "hr"
            # The ground truth of a whole image is its own overview; a crop has a small picture of the whole image.
            if window.why != "whole":
                if window.image_size is None:
                    continue
                size, name = window.image_size, "whole"
            path = self._store.path(window, name)
            if path.is_file():
                left, top, right, bottom = self.box
                width, height = size
                share = (left / width, top / height, (right - left) / width, (bottom - top) / height)
                return Overview(_read(path), *share)
        return None

    @property
    def _place(self) -> str:
        left, top, right, bottom = self.box
        return f"{self.image}:{left},{top},{max(right - left, bottom - top)}"

    def _clipped(self, wanted: Choice) -> tuple[int, int, int, int]:
        sizes = [
            (one.width, one.height) if one.why == "whole" else one.image_size
            for one in self._windows
            if one.why == "whole" or one.image_size is not None
        ]
        # Clipped only if the size of the image is known.
        right, bottom = wanted.x + wanted.size, wanted.y + wanted.size
        if sizes and sizes[0] is not None:
            width, height = sizes[0]
            if wanted.x >= width or wanted.y >= height:
                raise UsageError(
                    f"{wanted.image} is {width} x {height} pixels: {wanted.x},{wanted.y} lies outside of it",
                    hint="choose a place inside of the image",
                )
            right, bottom = min(right, width), min(bottom, height)
        return wanted.x, wanted.y, right, bottom

    def _around(self) -> Iterator[Window]:
        """Yield the stored crops that contain this one."""
        left, top, right, bottom = self.box
        for one in self._windows:
            if one.x <= left and one.y <= top and right <= one.x + one.width and bottom <= one.y + one.height:
                yield one

    def _output(self, entry: Entry) -> Pixels | None:
        # Slugs come from a file that may have been edited: none may lead out of the folder.
        if not is_file_name(entry.slug):
            return None
        found = self._stored(f"models/{entry.slug}")
        return self._saved(entry.slug) if found is None else found

    def _stored(self, name: str) -> Pixels | None:
        # The first stored crop that contains the wanted one; it may be larger.
        for window in self._around():
            path = self._store.path(window, name)
            if path.is_file():
                return self._cut(path, window.x, window.y, (window.height, window.width))
        return None

    def _saved(self, slug: str) -> Pixels | None:
        """Return the crop of an output that ``--save-images`` kept, by data set if there are several."""
        if not is_file_name(self.image):
            return None
        folder = self._folder.path / "images" / slug
        labels = [one.label for one in self._folder.run.datasets if is_file_name(one.label)]
        for path in (folder / label / f"{self.image}.png" for label in ["", *labels[:1]]):
            if path.is_file():
                return self._cut(path, 0, 0, None)
        return None

    def _cut(self, path: Path, x: int, y: int, shape: tuple[int, int] | None) -> Pixels:
        pixels = _read(path)
        left, top, right, bottom = self.box
        found = pixels[top - y : bottom - y, left - x : right - x]
        if (shape is not None and pixels.shape[:2] != shape) or found.shape[:2] != (bottom - top, right - left):
            raise ResultsError("a stored image has another size than its crop", where=str(path), hint="run it again")
        return found

    def _remedy(self) -> str:
        kept = [f"{one.image}:{one.x},{one.y},{max(one.width, one.height)}" for one in self._windows]
        if not kept:
            return self.again
        return f"it kept {', '.join(kept[:_MOST_LISTED])} and what lies inside; or {self.again}"


def _read(path: Path) -> Pixels:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ResultsError(f"the image cannot be read: {error}", where=str(path)) from error
