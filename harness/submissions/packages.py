"""Locate the installed packages of this interpreter, which a sandboxed worker must be able to read."""

from __future__ import annotations

import sys
from pathlib import Path

_NAMES = frozenset({"site-packages", "dist-packages"})


def package_folders() -> list[Path]:
    """Return the folders of installed packages on ``sys.path``, in order.

    They include the environment's own folder, that of the user, and those that ``.pth`` files add.
    """
    folders = dict.fromkeys(Path(entry) for entry in sys.path if Path(entry).name in _NAMES)
    return [folder for folder in folders if folder.is_dir()]
