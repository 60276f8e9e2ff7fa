"""Read and write image files as 8-bit RGB arrays. Formats that would need a lossy conversion raise an error."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from harness.errors import DataError
from harness.files import write_atomically

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif")
_PLAIN_MODES = ("RGB", "L", "1", "P")
_HINT = {
    "alpha": "flatten it onto a background and save it as RGB",
    "16-bit": "convert it to 8 bits per channel by the rule that your paper states",
    "mode": "save it as 8-bit RGB",
    "corrupt": "copy or download it again",
}


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image file.

    Parameters
    ----------
    path
        PNG, JPEG, WebP, BMP, TIFF, PPM or AVIF file. Greyscale and palette images are converted to RGB with Pillow's
        ``convert("RGB")``. Orientation tags are ignored, as in the challenges' scripts.

    Returns
    -------
    numpy.ndarray
        H x W x 3, uint8, RGB, C-contiguous and writable.

    Raises
    ------
    DataError
        The file is missing, damaged, has more than 8 bits per channel, an alpha channel, or another colour space.
    """
    try:
        with Image.open(path) as image:
            _refuse_what_rgb_cannot_hold(image, path)
            return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError("there is no such image", where=str(path)) from error
    # Pillow's decoders raise all of these for damaged files.
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"not a readable image ({error})", where=str(path), hint=_HINT["corrupt"]) from error


def is_greyscale(path: Path) -> bool:
    """Return whether an image file has a single channel; `path` must be readable by `read_rgb`."""
    with Image.open(path) as image:
        return image.mode in ("L", "1")


def _refuse_what_rgb_cannot_hold(image: Image.Image, path: Path) -> None:
    if image.mode.startswith(("I", "F")) or _bits_per_channel(image) > 8:
        raise DataError("has more than 8 bits per channel", where=str(path), hint=_HINT["16-bit"])
    if image.has_transparency_data or "A" in image.getbands():
        raise DataError(f"has an alpha channel (mode {image.mode})", where=str(path), hint=_HINT["alpha"])
    if image.mode not in _PLAIN_MODES:
        raise DataError(f"has colour mode {image.mode}", where=str(path), hint=_HINT["mode"])


def _bits_per_channel(image: Image.Image) -> int:
    """Return 16 if the file stores 16 bits per channel, else 8.

    Pillow silently reduces 16-bit RGB PNGs to mode "RGB" with 8 bits; only the decoder's raw mode reveals it.
    """
    raw_modes = [str(tile[3]) for tile in getattr(image, "tile", [])]
    return 16 if any("16" in mode for mode in raw_modes) else 8


def encode_png(image: NDArray[np.uint8], compress_level: int = 1) -> bytes:
    """Encode an H x W x 3 uint8 image as PNG. Level 1, the default, is about five times faster than level 6."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", compress_level=compress_level)
    return stream.getvalue()


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an H x W x 3 uint8 image as PNG, atomically.

    Raises
    ------
    ResultsError
        The file cannot be written.
    """
    write_atomically(path, encode_png(image))


def list_images(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name, without hidden files.

    Raises
    ------
    DataError
        The folder does not exist.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder", where=str(folder), hint="check the path")
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def distinct_images(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name; at least one, with distinct names ignoring the suffix.

    Raises
    ------
    DataError
        The folder does not exist, contains no images, or contains images whose names differ in the suffix only.
    """
    paths = list_images(folder)
    if not paths:
        raise DataError("holds no images", where=str(folder), hint="give a folder of PNG, JPEG, WebP or TIFF files")
    stems = Counter(path.stem for path in paths)
    duplicates = sorted(stem for stem, count in stems.items() if count > 1)
    if duplicates:
        hint = "rename or remove one of each"
        raise DataError(f"holds several images called {', '.join(duplicates)}", where=str(folder), hint=hint)
    return paths
