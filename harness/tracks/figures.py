"""Names and units of the figures that a track's score, gates and ranking are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Figures = Mapping[str, float | Floats]
"""Values by name. Arrays have one element per row of a table and shapes that broadcast."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity that a formula may use.

    Attributes
    ----------
    name
        As it is written in a formula.
    unit
        Empty for quantities without a unit.
    meaning
        One line for users.
    by_dataset
        Whether the figure exists for each data set of a track, as ``psnr_test`` beside ``psnr``, the mean over them.
    measured
        False for figures that a run does not measure; they are given by hand.
    quality
        Whether it depends on the images.
    """

    name: str
    unit: str
    meaning: str
    by_dataset: bool = False
    measured: bool = True
    quality: bool = False


FIGURES: Mapping[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("psnr", "dB", "the PSNR that the track scores, on RGB or Y", by_dataset=True, quality=True),
        Figure("bicubic", "dB", "the same PSNR of the reference interpolation", by_dataset=True),
        Figure("psnr_rgb", "dB", "PSNR on RGB", by_dataset=True, quality=True),
        Figure("psnr_y", "dB", "PSNR on Y", by_dataset=True, quality=True),
        Figure("ssim_rgb", "", "SSIM on RGB", by_dataset=True, quality=True),
        Figure("ssim_y", "", "SSIM on Y", by_dataset=True, quality=True),
        Figure("runtime_ms", "ms", "runtime of one forward pass at the track's size", by_dataset=True),
        Figure("params", "", "parameters of the network that is timed"),
        Figure("macs", "", "multiply-accumulates of one forward pass at the track's size; fvcore calls them FLOPs"),
        Figure("activations", "", "elements of all outputs of convolutions and matrix products"),
        Figure("memory_bytes", "B", "peak memory of one forward pass"),
        Figure("size_bytes", "B", "size of the file of weights"),
        Figure("lpips", "", "LPIPS", measured=False, quality=True),
        Figure("dists", "", "DISTS", measured=False, quality=True),
        Figure("niqe", "", "NIQE", measured=False, quality=True),
        Figure("maniqa", "", "MANIQA", measured=False, quality=True),
        Figure("musiq", "", "MUSIQ", measured=False, quality=True),
        Figure("clipiqa", "", "CLIP-IQA", measured=False, quality=True),
        Figure("speedup", "", "runtime of the challenge's reference network divided by the runtime", measured=False),
    )
}
"""Every figure by name."""


def figure_of(name: str) -> tuple[Figure, str] | None:
    """Return the figure and the data set that a name in a formula refers to, or None if there is no such figure.

    The data set is empty for a figure of the whole track. ``psnr_test`` is the PSNR on the data set ``test``.
    """
    if name in FIGURES:
        return FIGURES[name], ""
    bases = [figure for figure in FIGURES.values() if figure.by_dataset and name.startswith(f"{figure.name}_")]
    if not bases:
        return None
    # The longest name decides: psnr_y_test is PSNR on Y of the data set test, not PSNR of a data set y_test.
    base = max(bases, key=lambda figure: len(figure.name))
    return base, name.removeprefix(f"{base.name}_")


def advice(name: str, others: Iterable[str] = ()) -> str:
    """Return a hint for the unknown figure `name`: the nearest name, and all names."""
    known = [*FIGURES, *others]
    nearest = get_close_matches(name, known, 1, 0.5)
    choice = f"the figures are {', '.join(known)}"
    return f"did you mean {nearest[0]!r}? {choice}" if nearest else choice
