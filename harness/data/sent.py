"""A data set whose pairs come from another machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.data.datasets import Dataset

Array = NDArray[np.uint8]


class SentPair(Protocol):
    """An LR and an HR image that are fetched when they are first asked for."""

    def get(self) -> tuple[Array, Array]:
        """Return LR and HR, h x w x 3 and (h * scale) x (w * scale) x 3, uint8."""
        ...


class SentDataset(Dataset):
    """The pairs of another data set, pixel for pixel. They are fetched from where they were decoded, and kept nowhere.

    Parameters
    ----------
    source
        The data set, whose name, scale, degradation and fingerprint this one has.
    pairs
        Its pairs, in order.
    """

    def __init__(self, source: Dataset, pairs: Sequence[SentPair]) -> None:
        # The constructor of the base class is not called: it needs the image files, which are on another machine.
        self.name = source.name
        self.scale = source.scale
        self.degradation = source.degradation
        self.registered_as = source.registered_as
        self.names = list(source.names)
        self._source_fingerprint = source.fingerprint
        self._is_degraded = source.is_degraded_here
        self._pairs = list(pairs)

    @property
    def fingerprint(self) -> str:  # computed by the source
        """Fingerprint of the source."""
        return self._source_fingerprint

    @property
    def is_degraded_here(self) -> bool:
        """Whether the LR images of the source are generated from HR."""
        return self._is_degraded

    def pair(self, index: int) -> tuple[Array, Array]:
        """Return one pair of images; callers must not change them."""
        return self._pairs[index].get()

    def read_ahead(self, most_bytes: int) -> int:  # noqa: ARG002
        """Read nothing, because nothing is kept."""
        return 0
