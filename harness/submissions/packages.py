"""Where this Python finds its installed packages: what a worker must be able to read to run at all."""

from __future__ import annotations

import sys
from pathlib import Path

_NAMES = frozenset({"site-packages", "dist-packages"})


def package_folders() -> list[Path]:
    """Return the folders of installed packages on the search path, in its order.

    Besides those of the interpreter's own environment these are the user's, and those that a ``.pth`` file names.
    """
    folders = dict.fromkeys(Path(entry) for entry in sys.path if Path(entry).name in _NAMES)
    return [folder for folder in folders if folder.is_dir()]
