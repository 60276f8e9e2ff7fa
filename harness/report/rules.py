"""What the report needs of a track: its score as a function, and the figure of quality that it takes."""

from collections.abc import Callable
from typing import Literal

from harness.errors import UsageError
from harness.results.schema import Entry, Run
from harness.tracks import Track, get_track

Metric = Literal["psnr_rgb", "psnr_y"]


def track_of(run: Run) -> Track | None:
    """Return the track of a run, or None where this installation does not know it."""
    try:
        return get_track(run.track.name)
    except UsageError:
        return None


def score_of(run: Run) -> Callable[[float, float], float] | None:
    """Return the track's score of (PSNR, runtime in ms), or None where the track is not known here."""
    track = track_of(run)
    bicubic = run.track.bicubic_psnr
    return None if track is None else lambda psnr, ms: track.score(psnr, ms, bicubic)


def metric_of(run: Run) -> Metric:
    """Return which PSNR the track scores; RGB where the track is not known here."""
    track = track_of(run)
    return "psnr_rgb" if track is None else track.metric


def quality(entry: Entry, metric: Metric) -> float | None:
    """Return the PSNR that the track scores, in dB."""
    return entry.psnr_y if metric == "psnr_y" else entry.psnr_rgb
