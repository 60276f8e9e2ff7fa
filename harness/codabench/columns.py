"""The columns of the leaderboard, and the content of ``scores.json``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.errors import ResultsError
from harness.results.columns import runtime_of
from harness.results.record import Statistic
from harness.results.schema import Entry
from harness.tracks import Track
from harness.tracks.scoring import NO_SCORE, ScoringRules, known_figures

_LARGEST = 1e10
"""Codabench stores scores with ten digits before and ten after the decimal point."""
_DECIMALS = 10

Value = Callable[[Entry, Statistic], float | None]


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """One column.

    Attributes
    ----------
    key
        In ``scores.json``; at most 36 characters.
    title
        At most 36 characters.
    value
        The figure of a row, or None.
    sorting
        ``desc`` where larger is better.
    precision
        Decimals that are shown.
    """

    key: str
    title: str
    value: Value
    sorting: Literal["desc", "asc"] = "desc"
    precision: int = 2


def score_columns(track: Track) -> list[ScoreColumn]:
    """Return the columns of a track's leaderboard, the one that ranks first.

    Codabench sorts rows without the first figure to the top, so every submission with scores must have it.
    """
    order: Literal["desc", "asc"] = "desc" if track.higher_is_better else "asc"
    if track.logarithmic:  # such scores exceed what Codabench stores
        first = ScoreColumn("score_log10", "log10 of the score", lambda e, _: e.score_log10, order, 4)
    else:
        first = ScoreColumn("score", "Score", lambda e, _: e.score, order, 2)
    return [first, *_MEASURED]


def scores_of(entry: Entry, track: Track, statistic: Statistic, *, measured: bool) -> dict[str, float]:
    """Return the content of ``scores.json``: the known figures by key of their column.

    Parameters
    ----------
    entry
        A scored row.
    track
        Its track.
    statistic
        The statistic of the runtime that the score uses.
    measured
        Whether the runtime was measured; False if the authors state it.

    Raises
    ------
    ResultsError
        There is no score, or a figure that Codabench cannot store.
    """
    columns = score_columns(track)
    known = {column.key: column.value(entry, statistic) for column in columns}
    known["measured"] = float(measured)
    # Codabench would sort such a row to the top, see `score_columns`.
    if known[columns[0].key] is None:
        raise ResultsError(f"there is no {columns[0].title.lower()}", hint=_why_unscored(entry, track))
    for key, value in known.items():
        if value is not None and not (math.isfinite(value) and abs(value) < _LARGEST):
            raise ResultsError(f"{key} is {value:g}, which Codabench cannot store", hint="it stores less than 1e10")
    return {key: round(value, _DECIMALS) for key, value in known.items() if value is not None}


def _why_unscored(entry: Entry, track: Track) -> str:
    """Return which figures of the formula are not known, and whether a submission could have supplied them."""
    if track.given_by_hand:
        names = ", ".join(track.given_by_hand)
        return f"the formula needs {names}, which no submission can supply: tell the organisers"
    undefined = [note for note in entry.notes if note.startswith(NO_SCORE)]
    if undefined:
        return undefined[0]
    # Whatever the reference is, it is not the submission's.
    rules = ScoringRules(track, float("nan"), "mean", "eager", {}, {})
    known = known_figures(entry, rules)
    missing = [name for name in track.needs if name not in known and not name.startswith("bicubic")]
    return f"the formula needs {', '.join(missing)}, which the submission lacks" if missing else "ask the organisers"


def _runtime(entry: Entry, statistic: Statistic) -> float | None:
    return runtime_of(entry, statistic)


def _field(name: str, unit: float = 1.0) -> Value:
    def value(entry: Entry, _statistic: Statistic) -> float | None:
        found = getattr(entry, name)
        return None if found is None else float(found) / unit

    return value


_MEASURED = (
    ScoreColumn("psnr_rgb", "PSNR RGB [dB]", _field("psnr_rgb"), precision=3),
    ScoreColumn("psnr_y", "PSNR Y [dB]", _field("psnr_y"), precision=3),
    ScoreColumn("ssim_rgb", "SSIM RGB", _field("ssim_rgb"), precision=4),
    ScoreColumn("ssim_y", "SSIM Y", _field("ssim_y"), precision=4),
    ScoreColumn("runtime_ms", "Runtime [ms]", _runtime, "asc", 3),
    # `scores_of` sets this figure, which is not part of the row.
    ScoreColumn("measured", "Runtime measured [1] / stated [0]", lambda _e, _s: None, precision=0),
    ScoreColumn("params_k", "Parameters [K]", _field("params", 1e3), "asc", 2),
    ScoreColumn("macs_g", "MACs [G]", _field("macs", 1e9), "asc", 2),
)
