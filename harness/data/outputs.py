"""Save a network's outputs as PNG files, for inspection or evaluation with other tools."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.images import write_png
from harness.files import write_atomically

# Hidden, so that it is not taken for an image.
_MARK = ".complete"


class OutputFolder:
    """Folder of the upscaled images of one network. All files are written atomically.

    Parameters
    ----------
    folder
        Folder for this network only; images with another fingerprint are deleted.
    fingerprint
        Hash of everything that the images depend on.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint

    def is_complete(self, names: Sequence[str]) -> bool:
        """Return whether all images with this fingerprint exist. The marker file is written after the last image."""
        mark = self._folder / _MARK  # contains the fingerprint
        if not mark.is_file() or mark.read_text() != self._fingerprint:
            return False
        return all((self._folder / f"{name}.png").is_file() for name in names)

    def begin(self) -> None:
        """Delete all files, so that images with different fingerprints are never mixed."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, name: str, sr: NDArray[np.uint8]) -> None:
        """Write one image, H x W x 3, as ``NAME.png``.

        Raises
        ------
        ResultsError
            The disk is full or the folder cannot be written.
        """
        write_png(self._folder / f"{name}.png", sr)

    def finish(self) -> None:
        """Write the marker file that states that all images exist."""
        write_atomically(self._folder / _MARK, self._fingerprint.encode())
