"""Classes of speed by frames per second, such as those of the NTIRE 2023 report."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

COLOURS = 5
"""Colours that the style sheet and the figures have for classes of speed."""


@dataclass(frozen=True, slots=True)
class Band:
    """One class of frames per second: ``low`` belongs to it, ``high`` does not. ``index`` is that of its colour."""

    index: int
    low: float
    high: float

    @property
    def label(self) -> str:
        """The class in words, such as ``30-60 fps``."""
        if self.high == inf:
            return f"> {self.low:g} fps" if self.low else "any fps"
        return f"{self.low:g}\N{EN DASH}{self.high:g} fps" if self.low else f"< {self.high:g} fps"


def bands_of(limits: Sequence[float]) -> list[Band]:
    """Return the classes between a track's limits, slowest first; they share the colours out evenly."""
    # n limits make n + 1 classes.
    edges = [0.0, *limits, inf]
    last = len(edges) - 2
    return [
        # The slowest class always has the first colour and the fastest one the last.
        Band(round(at * (COLOURS - 1) / last) if last else 0, low, high)
        for at, (low, high) in enumerate(pairwise(edges))
    ]


def band_of(fps: float, bands: Sequence[Band]) -> Band:
    """Return the class that a frame rate lies in."""
    return next((band for band in bands if fps < band.high), bands[-1])


def named_limits(bands: Sequence[Band]) -> list[float]:
    """Return the limits between classes, in the order in which a figure names as many as there is room for.

    Limits at least a factor of two apart come first, then those that would stand close to another's name.
    """
    spaced, close = list[float](), list[float]()
    for band in bands[1:]:
        (close if spaced and band.low < 2 * spaced[-1] else spaced).append(band.low)
    return spaced + close
