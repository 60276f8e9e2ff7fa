"""Cache keys of generated LR images."""

from __future__ import annotations

import hashlib

import PIL
from PIL import features

from harness.data.degradation import Degradation


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
