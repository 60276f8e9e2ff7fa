"""What the interactive plot needs beyond the table: first axes, curves of equal score, gates, and bicubic's level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.contour import QuadContourSet

from harness.report.drawing import Drawn
from harness.report.numbers import spell
from harness.report.rules import bicubic_of, gate_lines
from harness.results.schema import Run

_MOST_POINTS = 40  # of one curve


def explore_data(run: Run, figures: Sequence[Drawn]) -> dict[str, Any]:
    """Return the data of the interactive plot, ready for JSON; the networks' figures are in the table.

    Parameters
    ----------
    run
        The run.
    figures
        Its figures, the first of which holds the curves of equal score.
    """
    metric = run.track.metric
    return {
        "x": "runtime_ms",
        "y": metric,
        "curves": [curve for drawn in figures if drawn.name == "psnr-runtime" for curve in _curves(drawn)],
        "levels": dict.fromkeys([metric], run.track.bicubic_psnr) if bicubic_of(run) else {},
        "gates": [{"keys": gate.keys, "level": gate.level, "text": gate.text} for gate in gate_lines(run)],
    }


def _curves(drawn: Drawn) -> list[dict[str, Any]]:
    # Taken from the figure that matplotlib drew, so that both plots show the same curves.
    sets = [item for item in drawn.figure.axes[0].collections if isinstance(item, QuadContourSet)]
    return [
        {"label": spell(float(level)), **_thinned(segment)}
        for contours in sets
        for level, segments in zip(contours.levels, contours.allsegs, strict=True)
        for segment in segments
        if len(segment) > 1
    ]


def _thinned(segment: Any) -> dict[str, list[float]]:
    step = max(1, len(segment) // _MOST_POINTS)
    # With the last point, so that the curve keeps its length.
    points = [*segment[:-1:step], segment[-1]]
    # Few digits, because the curves are part of each page.
    return {"x": [float(f"{x:.5g}") for x, _ in points], "y": [float(f"{y:.6g}") for _, y in points]}
