"""A network's outputs as PNG files, for whoever wants to look at them or measure them by other means."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.images import write_png
from harness.files import write_atomically

_MARK = ".complete"


class OutputFolder:
    """Where one network's upscaled images are kept; every file appears whole or not at all.

    Parameters
    ----------
    folder
        Holds the images of this network alone: those of another state of it are removed.
    fingerprint
        What the images depend on.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint

    def is_complete(self, names: Sequence[str]) -> bool:
        """Return whether all images of this state are there: the mark is written after the last of them."""
        mark = self._folder / _MARK
        if not mark.is_file() or mark.read_text() != self._fingerprint:
            return False
        return all((self._folder / f"{name}.png").is_file() for name in names)

    def begin(self) -> None:
        """Make room: what another state of the network left is not mixed with this one's."""
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
        """Note that all images are there."""
        write_atomically(self._folder / _MARK, self._fingerprint.encode())
