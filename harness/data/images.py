"""Read and write image files as 8-bit RGB arrays. Formats that would need a lossy conversion raise an error."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.bit_depth import bits_per_channel
from harness.data.fast_png import decode_rgb
from harness.errors import DataError
from harness.files import write_atomically
from harness.text import composed

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".avif")
# Modes whose conversion to RGB is exact.
_PLAIN_MODES = ("RGB", "L", "1", "P")
_HINT = {
    "alpha": "flatten it onto a background and save it as RGB",
    "depth": "convert it to 8 bits per channel by the rule that your paper states",
    "mode": "save it as 8-bit RGB",
    "format": "save it as PNG",
    "corrupt": "copy or download it again; if other programs open it, save it as 8-bit PNG",
    "large": "crop it into smaller images",
}
_LAST_BYTES = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
_TAIL_BYTES = 4096  # some programs write more after the end of an image
_OPENING = Lock()


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image file's pixels.

    Attributes
    ----------
    pixels
        H x W x 3, uint8, RGB, C-contiguous and writable.
    is_greyscale
        Whether the file has a single channel.
    """

    pixels: NDArray[np.uint8]
    is_greyscale: bool


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image file; see `read_image` for the formats and errors.

    Returns
    -------
    numpy.ndarray
        H x W x 3, uint8, RGB, C-contiguous and writable.
    """
    return read_image(path).pixels


def read_image(path: Path) -> DecodedImage:
    """Read an image file.

    Parameters
    ----------
    path
        PNG, JPEG, WebP, BMP, TIFF, PPM or AVIF file. Greyscale and palette images are converted to RGB with Pillow's
        ``convert("RGB")``. Orientation tags are ignored, as in the challenges' scripts.

    Raises
    ------
    DataError
        The file is missing, damaged, has more than 8 bits per channel, an alpha channel, or another colour space.
    """
    with _opened(path) as image:
        _refuse_what_rgb_cannot_hold(image, path)
        return DecodedImage(_pixels(image, path), is_greyscale=image.mode in ("L", "1"))


def refuse_lost_colours(image: DecodedImage, hr: DecodedImage, path: Path, role: str) -> None:
    """Raise DataError if an LR or SR image is greyscale and its HR image shows colours.

    A comparison would measure the loss of colour.

    Parameters
    ----------
    image, hr
        The two images.
    path
        File of `image`.
    role
        ``LR`` or ``SR``, for the message.
    """
    if image.is_greyscale and not hr.is_greyscale and (hr.pixels != hr.pixels[..., :1]).any():
        raise DataError(
            "is greyscale, but its HR image has colours", where=str(path), hint=f"save the {role} image in RGB"
        )


def _pixels(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    if image.mode != "RGB":
        return np.array(image.convert("RGB"))
    decoded = decode_rgb(path, image.height, image.width) if image.format == "PNG" else None
    return np.array(image) if decoded is None else decoded


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image file without decoding its pixels.

    Raises
    ------
    DataError
        The file is missing or its header is damaged.
    """
    with _opened(path) as image:
        return image.height, image.width


def check_image(path: Path) -> None:
    """Check that an image file can be read, in much less time than decoding takes; see `read_image` for the errors.

    Its header is read. It is decoded only if its end is missing, as of a file that was not copied to the end.
    """
    with _opened(path) as image:
        _refuse_what_rgb_cannot_hold(image, path)
        end = _LAST_BYTES.get(image.format or "")
        if end is not None and end not in _tail(path):  # other formats have no mark at their end
            _pixels(image, path)


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return stream.read()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file; convert every exception of opening and decoding it to DataError."""
    try:
        require_file(path)  # reading a pipe would wait for its writer
        # Pillow warns about odd metadata and about more than 89 megapixels. Neither changes the pixels.
        with _OPENING, warnings.catch_warnings():  # the list of filters belongs to all threads
            warnings.simplefilter("ignore")
            image = Image.open(path)
        with image:
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        size = str(error).partition(", could be")[0]
        raise DataError(f"not a readable image ({size})", where=str(path), hint=_HINT["large"]) from error
    except MemoryError as error:
        raise DataError("does not fit into the memory", where=str(path), hint=_HINT["large"]) from error
    # Decoders raise more than Pillow documents, such as RuntimeError for a damaged AVIF file.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"not a readable image ({reason})", where=str(path), hint=_HINT["corrupt"]) from error


def _refuse_what_rgb_cannot_hold(image: Image.Image, path: Path) -> None:
    bits = bits_per_channel(image, path)
    if bits is None:
        raise DataError(f"is a {image.format} file, which is not supported", where=str(path), hint=_HINT["format"])
    if bits > 8:
        raise DataError(f"has more than 8 bits per channel ({bits})", where=str(path), hint=_HINT["depth"])
    # Before the colour mode, so that RGBA files get the advice about alpha.
    if image.has_transparency_data:
        raise DataError(f"has an alpha channel (mode {image.mode})", where=str(path), hint=_HINT["alpha"])
    if image.mode not in _PLAIN_MODES:
        raise DataError(f"has colour mode {image.mode}", where=str(path), hint=_HINT["mode"])


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


def image_name(path: Path) -> str:
    """Return the name of an image: that of its file without extension, in Unicode's composed form."""
    return composed(path.stem)


def list_images(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name, without hidden files.

    Raises
    ------
    DataError
        The folder does not exist or cannot be read, or an image is a broken link or a special file.
    """
    paths = image_entries(folder)
    for path in paths:
        require_file(path)
    return paths


def require_file(path: Path) -> None:
    """Raise DataError if the path of an image is a broken link, or no plain file, such as a pipe."""
    if path.is_file():
        return
    if path.is_symlink() and not path.exists():
        what, hint = f"is a broken link to {path.readlink()}", "mend the link, or remove it"
        raise DataError(what, where=str(path), hint=hint)
    if path.exists():
        raise DataError("is no plain file", where=str(path), hint="give an image file")
    raise DataError("there is no such image", where=str(path))


def image_entries(folder: Path) -> list[Path]:
    """Return what has the name of an image in a folder, as `list_images` does, with broken links and special files.

    Raises
    ------
    DataError
        The folder does not exist or cannot be read.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder", where=str(folder), hint="check the path")
    try:
        return sorted(
            path
            for path in folder.iterdir()
            # macOS puts hidden files with the same suffix beside others, such as ._0801.png.
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and not path.is_dir()
        )
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=str(folder)) from error


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
    counts = Counter(map(image_name, paths))
    duplicates = sorted(name for name, count in counts.items() if count > 1)
    if duplicates:
        hint = "rename or remove one of each"
        raise DataError(f"holds several images called {', '.join(duplicates)}", where=str(folder), hint=hint)
    return paths
