"""The page of pixels: the same piece of an image as every model makes it, to compare side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from statistics import pstdev
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import ResultsError
from harness.report.folder import RunFolder, is_file_name
from harness.report.rows import Row
from harness.report.site import page
from harness.results.crops import CropStore, Window

PAGE = "pixels.html"
SCRIPTS = ("theme.js", "pixels.js")
BEST_DB = 100.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a piece; ``psnr`` is of the piece alone, dB, None for the truth itself."""

    key: str
    title: str
    link: str
    psnr: float | None
    gain: float | None = None
    page: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of an image with the truth, the interpolation and every model's picture of it."""

    window: Window
    shots: list[Shot]

    @property
    def dispute(self) -> float:
        """How far the models differ on it: standard deviation of their PSNR, dB."""
        return pstdev([shot.psnr for shot in self.shots[2:] if shot.psnr is not None] or [0.0])


def pieces(folder: RunFolder, rows: Sequence[Row]) -> list[Piece]:
    """Return the pieces that a run keeps, first those on which models differ most; empty where it keeps none."""
    store = CropStore(folder.path)
    found = [_piece(store, window, rows) for window in store.windows() if store.path(window, "hr").is_file()]
    return sorted(found, key=lambda piece: (-round(piece.dispute, 6), piece.window.folder))


def pixels_page(folder: RunFolder, found: Sequence[Piece]) -> str:
    """Return the page of pixels as HTML."""
    return page("pixels.html", SCRIPTS, run=folder.run, pieces=found)


def _piece(store: CropStore, window: Window, rows: Sequence[Row]) -> Piece:
    truth = _pixels(store.path(window, "hr"))
    reference = _psnr(_pixels(store.path(window, "reference")), truth)
    shots = [
        Shot("hr", "HR", _link(window, "hr"), None),
        Shot("reference", "Bicubic of the LR image", _link(window, "reference"), reference),
    ]
    for row in rows:
        name = f"models/{row.entry.slug}"
        if is_file_name(row.entry.slug) and store.path(window, name).is_file():
            psnr = _psnr(_pixels(store.path(window, name)), truth)
            link = _link(window, name)
            shots.append(Shot(row.anchor, row.entry.name, link, psnr, psnr - reference, row.page))
    return Piece(window, shots)


def _link(window: Window, name: str) -> str:
    return quote(f"crops/{window.folder}/{name}.webp")


def _pixels(path: Path) -> NDArray[np.float64]:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.float64)
    except OSError as error:
        raise ResultsError(f"the crop cannot be read: {error}", where=str(path)) from error


def _psnr(picture: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    if picture.shape != truth.shape:
        raise ResultsError(f"a crop has the shape {picture.shape}, its truth {truth.shape}", mend="run it again")
    error = float(np.mean((picture - truth) ** 2))
    return min(BEST_DB, 10 * log10(255**2 / error)) if error else BEST_DB
