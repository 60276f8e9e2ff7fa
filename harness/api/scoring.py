"""The score of single figures: ``harness.score``."""

from __future__ import annotations

from harness.tracks import get_track
from harness.tracks.given_figures import check_figures, completed


def score(track: str = "ntire23-x2", **figures: float) -> float:
    """Return the score of a network from its figures.

    Parameters
    ----------
    track
        Name of a track, or path of the TOML file of a custom one.
    **figures
        In base units: ``psnr`` (dB, of the track's metric), ``runtime_ms``, ``bicubic`` (dB; by default that of the
        challenge's test set), ``macs``, ``params``, ``psnr_test`` and any other figure that the track's formula uses.

    Raises
    ------
    UsageError
        There is no such track, a figure is missing or unknown, or no network can have its value.

    Examples
    --------
    >>> round(score(psnr=35.02, runtime_ms=3.19), 2)
    24.07
    """
    chosen = get_track(track)
    known = completed(chosen, figures)
    check_figures(chosen, known)
    return chosen.score(**known)
