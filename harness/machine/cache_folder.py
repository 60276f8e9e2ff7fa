"""The folder in which the harness keeps what it can make or download again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_HINT = "make it writable, or set the environment variable HARNESS_CACHE_DIR to another folder"
"""What to do about a cache folder that cannot be used."""


def cache_root() -> Path:
    """Return the cache folder: ``$HARNESS_CACHE_DIR`` if set, else the platform's user cache folder."""
    chosen = os.environ.get("HARNESS_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("sr-harness", appauthor=False))
