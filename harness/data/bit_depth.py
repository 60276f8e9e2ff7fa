"""The number of bits per channel that an image file stores, which Pillow's mode does not always state.

Pillow converts several formats with more than 8 bits per channel to 8 bits while it decodes them, without a message.
The depth is therefore read from what each decoder declares, or from the header of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

_BITS_PER_SAMPLE = 258  # TIFF tag
# Boxes of an AVIF file that contain boxes, with the number of bytes that precede these.
_CONTAINERS = {
    b"meta": 4,
    b"iprp": 0,
    b"ipco": 0,
    b"moov": 0,
    b"trak": 0,
    b"mdia": 0,
    b"minf": 0,
    b"stbl": 0,
    b"stsd": 8,
    b"av01": 78,
}


def bits_per_channel(image: Image.Image, path: Path) -> int | None:
    """Return the largest number of bits per channel that a file stores.

    Parameters
    ----------
    image
        The opened file, not yet loaded.
    path
        The file.

    Returns
    -------
    int or None
        At least 8, since fewer bits are converted to 8 exactly; None for a format whose depth is not known here.
    """
    if image.mode == "F" or image.mode == "I":
        return 32
    if image.mode.startswith("I;16"):
        return 16
    depth = _DEPTHS.get(image.format or "")
    return None if depth is None else max(8, depth(image, path))


def _eight(_image: Image.Image, _path: Path) -> int:
    """Return the depth of formats that have no other."""
    return 8


def _jpeg(image: Image.Image, _path: Path) -> int:
    return int(getattr(image, "bits", 8))


def _tiff(image: Image.Image, _path: Path) -> int:
    # 1 is the default of the TIFF specification. The tag holds one number per channel.
    declared = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 1)
    return max(declared) if isinstance(declared, tuple) else int(declared)


def _raw_mode(image: Image.Image, _path: Path) -> int:
    """Return 16 if the decoder unpacks samples of 16 bits, as in the raw modes ``RGB;16B`` and ``L;16B``."""
    modes = [_arguments(tile)[0] for tile in getattr(image, "tile", [])]
    return 16 if any(str(mode).partition(";")[2].startswith("16") for mode in modes) else 8


def _sgi(_image: Image.Image, path: Path) -> int:
    """Return the depth of the header: 1 or 2 bytes per sample. Pillow decodes 2 without naming a raw mode."""
    with path.open("rb") as stream:
        # Byte 3 follows the magic number (2 bytes) and the storage format (1 byte).
        return 8 * int.from_bytes(stream.read(4)[3:])


def _ppm(image: Image.Image, path: Path) -> int:
    """Return the bits of the largest sample value, which the decoders for other values than 255 get as an argument."""
    largest = [_arguments(tile)[1] for tile in getattr(image, "tile", []) if tile[0] in ("ppm", "ppm_plain")]
    return max([_raw_mode(image, path), *(int(value).bit_length() for value in largest if isinstance(value, int))])


def _arguments(tile: tuple[object, ...]) -> tuple[object, ...]:
    """Return the arguments of a tile's decoder, of which the first is the raw mode, padded with None."""
    arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    return (*arguments, None, None)


def _avif(_image: Image.Image, path: Path) -> int:
    return max(_avif_depths(memoryview(path.read_bytes())), default=8)


def _avif_depths(data: memoryview) -> Iterator[int]:
    """Yield the depths that the boxes ``av1C`` (codec configuration) and ``pixi`` (pixel information) declare."""
    for kind, content in _boxes(data):
        if kind in _CONTAINERS:
            yield from _avif_depths(content[_CONTAINERS[kind] :])
        elif kind == b"av1C" and len(content) > 2:
            # Flags high_bitdepth and twelve_bit of the AV1 codec configuration record.
            high, twelve = content[2] & 0x40, content[2] & 0x20
            yield (12 if twelve else 10) if high else 8
        elif kind == b"pixi":
            yield from content[5:]  # after version, flags and the number of channels


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and content of each box; stop at the first whose size is impossible."""
    start = 0
    while start + 8 <= len(data):
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:  # a size of 64 bits follows the type
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        end = start + size if size else len(data)  # 0: to the end of the file
        if not start + header <= end <= len(data):
            return
        yield bytes(data[start + 4 : start + 8]), data[start + header : end]
        start = end


_DEPTHS: dict[str, Callable[[Image.Image, Path], int]] = {
    "AVIF": _avif,
    "BMP": _eight,
    "DIB": _eight,
    "GIF": _eight,
    "JPEG": _jpeg,
    "MPO": _jpeg,
    "PCX": _eight,
    "PNG": _raw_mode,
    "PPM": _ppm,
    "QOI": _eight,
    "SGI": _sgi,
    "TGA": _eight,
    "TIFF": _tiff,
    "WEBP": _eight,
}
