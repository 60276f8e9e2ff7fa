"""The page of crops: the same part of an image as upscaled by every model, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log10
from pathlib import Path
from statistics import pstdev
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import ResultsError
from harness.report.images import bicubic_slug, names_of
from harness.report.numbers import fixed
from harness.report.rows import Row
from harness.report.site import page
from harness.results.crops import CropStore, Window
from harness.results.run_folder import RunFolder, is_file_name

PAGE = "pixels.html"
SCRIPTS = ("theme.js", "pixels.js")
# PSNR of identical crops, as in the results of a run.
BEST_DB = 100.0
# Red, green and blue of matplotlib's colour map "inferno" at nine places, for the map of errors; as in style.css.
RAMP = (
    "0.001 0.129 0.342 0.541 0.736 0.894 0.978 0.975 0.988",
    "0.000 0.047 0.062 0.135 0.216 0.353 0.558 0.798 0.998",
    "0.014 0.291 0.429 0.415 0.330 0.194 0.035 0.206 0.645",
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One image of a crop; ``psnr`` is that of the crop alone, dB, None for the ground truth."""

    key: str
    title: str
    link: str
    psnr: float | None
    gain: float | None = None
    page: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One crop with its ground truth, the interpolation and every model's output."""

    window: Window
    shots: list[Shot]
    missing: list[str] = field(default_factory=list)
    overview: str = ""
    """Address of the small whole image; empty where none was kept."""

    @property
    def dispute(self) -> float:
        """Standard deviation of the models' PSNR on it, dB."""
        return pstdev([shot.psnr for shot in self.shots if shot.gain is not None and shot.psnr is not None] or [0.0])

    @property
    def reason(self) -> str:
        """The reason for showing it, as the end of a sentence."""
        if self.window.dispute is not None:
            return (
                f"where the submissions differ most: by {fixed(self.window.dispute, 1)} of 255 levels, root mean square"
            )
        return {"choice": "as asked for", "whole": "the whole image"}.get(
            self.window.why, "where bicubic loses most, chosen before any model had run"
        )

    @property
    def frame(self) -> str:
        """The place of the crop in the whole image, as a style in per cent; empty where the image's size is unknown."""
        size = self.window.image_size
        if size is None:
            return ""
        parts = zip(
            ("left", "top", "width", "height"),
            (self.window.x, self.window.y, self.window.width, self.window.height),
            (*size, *size),
            strict=True,
        )
        return ";".join(f"{name}:{100 * length / whole:.2f}%" for name, length, whole in parts)

    @property
    def title(self) -> str:
        """Its name in a list of crops."""
        kinds = {
            "choice": f"{self.window.image} at {self.window.x}, {self.window.y}",
            "whole": f"{self.window.image}, whole",
        }
        return kinds.get(self.window.why, self.window.image)


def pieces(folder: RunFolder, rows: Sequence[Row]) -> list[Piece]:
    """Return the crops of a run: requested ones, those with the largest spread between models, whole images."""
    store = CropStore(folder.path)
    # A crop without its ground truth cannot be compared.
    found = [_piece(folder, store, window, rows) for window in store.windows() if store.path(window, "hr").is_file()]
    return sorted(found, key=_order)


def crop_links(folder: RunFolder, found: Sequence[Piece]) -> dict[str, dict[str, str]]:
    """Return, by image and row, the address of the first crop of the image that shows the row on the right.

    Images have their names of the table of images, see `names_of`.
    """
    links: dict[str, dict[str, str]] = {}
    for piece in found:
        for name in names_of(folder, piece.window.image):
            of_rows = links.setdefault(name, {})
            for shot in piece.shots:
                # The first one counts: `found` is in the order of the page.
                of_rows.setdefault(shot.key, f"{PAGE}#piece={piece.window.folder}&right={quote(shot.key)}")
    return links


def pixels_page(folder: RunFolder, found: Sequence[Piece]) -> str:
    """Return the page of crops as HTML."""
    return page("pixels.html", SCRIPTS, run=folder.run, pieces=found, ramp=RAMP)


def _order(piece: Piece) -> tuple[int, float, float, int]:
    # Crops that were asked for come first, whole images last.
    kind = {"choice": 0, "whole": 2}.get(piece.window.why, 1)
    if kind != 1:
        return kind, 0.0, 0.0, int(piece.window.folder)
    # Rounded, so that rounding errors do not decide the order.
    return kind, -(piece.window.dispute or 0.0), -round(piece.dispute, 6), int(piece.window.folder)


def _piece(folder: RunFolder, store: CropStore, window: Window, rows: Sequence[Row]) -> Piece:
    if window.why == "whole":
        return _whole(folder, store, window, rows)
    truth = _pixels(store.path(window, "hr"))
    reference = _psnr(_pixels(store.path(window, "reference")), truth)
    shots = _given(store, window, reference)
    shown, missing = _with_pictures(store, window, rows)
    for row in shown:
        name = f"models/{row.entry.slug}"
        # Of the crop alone, computed here: the run stores figures of whole images only.
        psnr = _psnr(_pixels(store.path(window, name)), truth)
        shots.append(Shot(row.anchor, row.entry.name, _link(window, name), psnr, psnr - reference, row.page))
    return Piece(window, shots, missing, _link(window, "whole") if store.path(window, "whole").is_file() else "")


def _given(store: CropStore, window: Window, reference: float | None) -> list[Shot]:
    """Return the pictures that are no model's: ground truth, LR where it was kept, and the interpolation."""
    lr = [Shot("lr", "LR image", _link(window, "lr"), None)] if store.path(window, "lr").is_file() else []
    return [
        Shot("hr", "HR", _link(window, "hr"), None),
        *lr,
        Shot("reference", "Bicubic of the LR image", _link(window, "reference"), reference),
    ]


def _whole(folder: RunFolder, store: CropStore, window: Window, rows: Sequence[Row]) -> Piece:
    """Return a whole image with the PSNR of the results, because decoding hundreds of large images takes minutes."""
    reference = _stored_psnr(folder, bicubic_slug(folder) or "", window.image)
    shots = _given(store, window, reference)
    shown, missing = _with_pictures(store, window, rows)
    for row in shown:
        psnr = _stored_psnr(folder, row.entry.slug, window.image)
        gain = None if psnr is None or reference is None else psnr - reference
        link = _link(window, f"models/{row.entry.slug}")
        shots.append(Shot(row.anchor, row.entry.name, link, psnr, gain, row.page))
    return Piece(window, shots, missing)


def _stored_psnr(folder: RunFolder, slug: str, image: str) -> float | None:
    images = folder.per_image.get(slug, {})
    return next((images[name].get("psnr_rgb") for name in names_of(folder, image) if name in images), None)


def _with_pictures(store: CropStore, window: Window, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows that have an image of a crop, and the names of those that have none."""
    have = [is_file_name(row.entry.slug) and store.path(window, f"models/{row.entry.slug}").is_file() for row in rows]
    shown = [row for row, there in zip(rows, have, strict=True) if there]
    return shown, [row.entry.name for row, there in zip(rows, have, strict=True) if not there]


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
        raise ResultsError(f"a crop has the shape {picture.shape}, its truth {truth.shape}", hint="run it again")
    error = float(np.mean((picture - truth) ** 2))
    return min(BEST_DB, 10 * log10(255**2 / error)) if error else BEST_DB
