"""Figures of one network that a user gives, for the score of a track: other names, defaults and checks."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.errors import UsageError
from harness.tracks.figures import advice, figure_of
from harness.tracks.track import Track

_HIGHEST_PSNR = 100.0


def completed(track: Track, figures: Mapping[str, float | None]) -> dict[str, float]:
    """Return the figures that are known, with ``psnr`` under the names that the track uses for it, too.

    The bicubic reference is the challenge's unless it is given.
    """
    first_role = f"psnr_{track.datasets[0].role}" if track.datasets else "psnr"
    psnr = figures.get("psnr")
    # The first constant of a track is that of its test set.
    official = next(iter(track.official_bicubic.values()), None)
    given = {"bicubic": official, first_role: psnr, track.metric: psnr}
    # What the user gives takes precedence over what was derived.
    given |= {name: value for name, value in figures.items() if value is not None}
    return {name: value for name, value in given.items() if value is not None}


def check_figures(track: Track, figures: Mapping[str, float], options: Mapping[str, str] | None = None) -> None:
    """Check that the figures suffice for the score and that a network can have them.

    Parameters
    ----------
    track
        The rules.
    figures
        Figures by name, in base units.
    options
        What a user adds for a missing figure, by its name; the name itself by default.

    Raises
    ------
    UsageError
        A figure is unknown, missing, or no network can have it; or the formula has no finite value for the figures.
    """
    for name, value in figures.items():
        if figure_of(name) is None:
            raise UsageError(f"{name!r} is no figure", hint=advice(name))
        _check_value(name, value)
    missing = track.missing(figures)
    if missing:
        fallback = "{name}" if options is None else "--figure {name}=VALUE"
        wanted = [(options or {}).get(name, fallback.format(name=name)) for name in missing]
        raise UsageError(f"track {track.name} scores {', '.join(missing)} too", hint=f"add {' and '.join(wanted)}")
    value = float(track.log_scores(figures) if track.logarithmic else track.scores(figures))
    if not math.isfinite(value):
        raise UsageError(
            f"the formula of {track.name} gives {value} for these figures", hint=f"the formula is {track.score_formula}"
        )


def _check_value(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name} is {value!r}, not a finite number", hint="give the measured figure")
    if name.startswith(("psnr", "bicubic")) and not 0 < value <= _HIGHEST_PSNR:
        raise UsageError(f"{name} is {value:g} dB", hint=f"a PSNR is between 0 and {_HIGHEST_PSNR:g} dB")
    if name.startswith("ssim") and not -1 <= value <= 1:
        raise UsageError(f"{name} is {value:g}", hint="an SSIM is between -1 and 1")
    if name.startswith(("runtime_ms", "speedup")) and value <= 0:
        raise UsageError(f"{name} is {value:g}", hint="it is greater than 0")
    if name in {"params", "macs", "activations", "memory_bytes", "size_bytes"} and value < 0:
        raise UsageError(f"{name} is {value:g}", hint="it is not negative")
