"""The cache folder, and cache keys of generated LR images."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import PIL
import platformdirs
from PIL import features

from harness.data.degradation import Degradation


def cache_root() -> Path:
    """Return the cache folder: ``$HARNESS_CACHE_DIR`` if set, else the platform's user cache folder."""
    chosen = os.environ.get("HARNESS_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("sr-harness", appauthor=False))


CACHE_HINT = "make it writable, or set the environment variable HARNESS_CACHE_DIR to another folder"
"""What to do about a cache folder that cannot be used."""


def codec_versions(degradation: Degradation) -> str:
    """Return the versions of the libraries that determine the pixels, because another release may change them."""
    # The version of Pillow covers resizing, that of the codec's library compression.
    library = {"jpeg": "libjpeg_turbo", "avif": "avif", "none": ""}[degradation.codec]
    encoder = f"{library} {features.version(library)}" if library else ""
    return f"Pillow {PIL.__version__} {encoder}".strip()


def lr_cache_key(hr_sha256: str, scale: int, degradation: Degradation) -> str:
    """Return a cache key, 32 hexadecimal digits, that covers everything that the LR pixels depend on."""
    parts = [hr_sha256, str(scale), repr(sorted(degradation.parameters.items())), codec_versions(degradation)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
