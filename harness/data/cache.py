"""The cache of generated LR images: keys, and files of uncompressed pixels, because PNG takes longer than inference."""

from __future__ import annotations

import hashlib
import math
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from harness.data.degradation import Degradation
from harness.errors import ResultsError
from harness.files import write_atomically

Array = NDArray[np.uint8]

_CHECKSUM_BYTES = 4


def codec_versions(degradation: Degradation) -> str:
    """Return the versions of the libraries that determine the pixels, because another release may change them."""
    # The version of Pillow covers resizing, that of the codec's library compression.
    library = {"jpeg": "libjpeg_turbo", "avif": "avif", "none": ""}[degradation.codec]
    encoder = f"{library} {features.version(library)}" if library else ""
    return f"Pillow {PIL.__version__} {encoder}".strip()


def lr_cache_key(hr_sha256: str, scale: int, degradation: Degradation) -> str:
    """Return a cache key, 32 hexadecimal digits, that covers everything that the LR pixels depend on."""
    parts = [hr_sha256, str(scale), repr(sorted(degradation.parameters.items())), codec_versions(degradation)]
    # 128 bits exclude accidental collisions and keep file names short.
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def read_lr(path: Path, shape: tuple[int, int, int]) -> Array | None:
    """Return a cached LR image, H x W x 3, uint8, read-only; None if there is none of this shape, or a damaged one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    size = math.prod(shape)
    if len(content) != size + _CHECKSUM_BYTES or content[size:] != _checksum(memoryview(content)[:size]):
        return None
    return np.frombuffer(content, np.uint8, size).reshape(shape)


def write_lr(path: Path, lr: Array) -> None:
    """Cache an LR image, H x W x 3, uint8. On a read-only or full disk, the next run generates it again."""
    pixels = lr.tobytes()
    with suppress(ResultsError):
        write_atomically(path, pixels + _checksum(pixels), sync=False)


def _checksum(pixels: bytes | memoryview) -> bytes:
    return zlib.crc32(pixels).to_bytes(_CHECKSUM_BYTES, "big")
