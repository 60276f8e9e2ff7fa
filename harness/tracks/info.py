"""What a run stores of its track, so that its report needs neither the track nor the package that defines it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.results.run_info import GateInfo, ScoreTable, TrackInfo
from harness.results.schema import Entry
from harness.tracks.expression import Expression
from harness.tracks.track import Track

_STEPS = 41
_DEPTH_DB = 2.5
"""How far below the interpolation a table reaches; a report draws 2 dB, and lower values at the bottom."""
_ROOM = 0.25
"""Share of a table's extent by which it exceeds the figures on each side, as the axes of a report do."""
_ROOM_RUNTIME = 2.0
"""Factor by which a table exceeds the runtimes on each side."""


def track_info(
    track: Track,
    bicubic_psnr: float,
    bicubic_source: Literal["measured", "published", "unknown"],
    entries: Sequence[Entry],
) -> TrackInfo:
    """Describe a track for ``results.json``.

    Parameters
    ----------
    track
        Whose rules were applied.
    bicubic_psnr
        PSNR of the reference interpolation, dB: the figure that ``track.metric`` names.
    bicubic_source
        Whether `bicubic_psnr` was measured in this run; it is not used if it is unknown.
    entries
        The rows of the run. They decide the extent of the table of scores where the formula is not an `Expression`.
    """
    expression = track.formula.text if isinstance(track.formula, Expression) else None
    return TrackInfo(
        name=track.name,
        scale=track.scale,
        score_formula=track.score_formula,
        bicubic_psnr=bicubic_psnr,
        bicubic_source=bicubic_source,
        metric=track.metric,
        higher_is_better=track.higher_is_better,
        title=track.title,
        source=track.source,
        gates=[GateInfo(figure=gate.figure, least=gate.least, text=gate.text) for gate in track.gates],
        remarks=list(track.remarks),
        fps_bands=track.fps_bands,
        score_expression=expression,
        score_table=_tabulate(track, bicubic_psnr, entries) if expression is None else None,
    )


def _tabulate(track: Track, bicubic_psnr: float, entries: Sequence[Entry]) -> ScoreTable | None:
    """Evaluate the score on a grid around the rows; None where no row was scored."""
    if not set(track.needs) <= {"psnr", "runtime_ms", "bicubic", track.metric}:
        return None  # a curve of equal score in the plane of quality and time needs no other figure
    scored = [entry for entry in entries if entry.score is not None and entry.runtime_ms is not None]
    if not scored:
        return None
    # As in the figures of the report, very low PSNRs would leave little of the grid for the others.
    deepest = bicubic_psnr - _DEPTH_DB
    figures = [bicubic_psnr, *(max(deepest, getattr(entry, track.metric) or deepest) for entry in scored)]
    room = _ROOM * (max(figures) - min(figures) or 1.0)
    times = [time for e in scored if e.runtime_ms for time in (e.runtime_ms.mean, e.runtime_ms.median) if time > 0]
    psnr = [_rounded(value) for value in np.linspace(min(figures) - room, max(figures) + room, _STEPS).tolist()]
    low, high = min(times) / _ROOM_RUNTIME, max(times) * _ROOM_RUNTIME
    # Geometric steps, because reports draw runtimes on a logarithmic axis.
    runtime_ms = [_rounded(value) for value in np.geomspace(low, high, _STEPS).tolist()]
    scores = [[_score(track, one, time, bicubic_psnr) for time in runtime_ms] for one in psnr]
    return ScoreTable(psnr=psnr, runtime_ms=runtime_ms, scores=scores)


def _score(track: Track, psnr: float, runtime_ms: float, bicubic_psnr: float) -> float | None:
    """Return a score to six digits, or None where the formula has none; it was not written for every figure."""
    try:
        score = track.score(**{"psnr": psnr, track.metric: psnr, "runtime_ms": runtime_ms, "bicubic": bicubic_psnr})
    except (ArithmeticError, ValueError):
        return None
    return _rounded(score) if math.isfinite(score) else None


def _rounded(value: float) -> float:
    # Six digits are more than a figure shows, and keep `results.json` small.
    return float(f"{value:.6g}")
