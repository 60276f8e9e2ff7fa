"""Where prepared images are kept between runs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import PIL
import platformdirs
from PIL import features

from harness.data.degradation import Degradation


def cache_root() -> Path:
    """Return the folder of cached files: ``$HARNESS_CACHE_DIR``, else the user's cache folder of this system."""
    chosen = os.environ.get("HARNESS_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("sr-harness", appauthor=False))


def codec_versions(degradation: Degradation) -> str:
    """Return the versions of the libraries whose next release may give other pixels."""
    library = {"jpeg": "libjpeg_turbo", "avif": "avif", "none": ""}[degradation.codec]
    encoder = f"{library} {features.version(library)}" if library else ""
    return f"Pillow {PIL.__version__} {encoder}".strip()


def lr_cache_key(hr_sha256: str, scale: int, degradation: Degradation) -> str:
    """Return a name that changes with anything that the LR pixels depend on."""
    parts = [hr_sha256, str(scale), repr(sorted(degradation.parameters.items())), codec_versions(degradation)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
