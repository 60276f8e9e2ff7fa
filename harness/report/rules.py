"""What the report needs of a track, as the run stores it: the score as a function, and the PSNR that it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import ResultsError, UsageError
from harness.report.columns import columns_of
from harness.results.run_info import ScoreTable
from harness.results.schema import Entry, Run
from harness.tracks import Expression
from harness.tracks.figures import figure_of

Metric = Literal["psnr_rgb", "psnr_y"]
NAMES: Mapping[Metric, str] = {"psnr_rgb": "PSNR RGB", "psnr_y": "PSNR Y"}
Floats = NDArray[np.float64]
Score = Callable[[Floats, Floats], Floats]


def score_of(run: Run) -> Score | None:
    """Return the track's score as a function of PSNR in dB and runtime in ms, two arrays of one shape.

    The function comes from the stored expression or table. None if the run stores neither, as a run of schema
    version 1 with a track of another package, or if the score depends on other figures too.

    Raises
    ------
    ResultsError
        The stored expression is damaged.
    """
    expression = expression_of(run)
    if expression is not None:
        # A curve over PSNR and runtime exists only if the score depends on nothing else.
        if not set(expression.names) <= {"psnr", "runtime_ms", "bicubic", run.track.metric}:
            return None
        constant, metric = run.track.bicubic_psnr, run.track.metric
        return lambda psnr, ms: np.asarray(
            # An expression may name the scored PSNR as ``psnr`` or by the track's metric.
            expression({"psnr": psnr, metric: psnr, "runtime_ms": ms, "bicubic": constant})
        )
    table = run.track.score_table
    return None if table is None else lambda psnr, ms: interpolated(table, psnr, ms)


def expression_of(run: Run) -> Expression | None:
    """Return the stored expression of the score, or None if the run has none.

    Raises
    ------
    ResultsError
        It does not follow the grammar of `harness.tracks.Expression`.
    """
    if run.track.score_expression is None:
        return None
    try:
        return Expression(run.track.score_expression)
    except UsageError as error:
        raise ResultsError(str(error), where="track.score_expression in results.json") from error


def interpolated(table: ScoreTable, psnr: Floats, runtime_ms: Floats) -> Floats:
    """Interpolate a table of scores, linearly in PSNR and in the logarithm of the runtime.

    Returns
    -------
    ndarray of float64
        NaN outside of the table and beside a point where the formula is undefined.
    """
    # None, an undefined score, becomes NaN.
    scores = np.array(table.scores, dtype=np.float64)
    row, down = _place(np.array(table.psnr), psnr)
    column, right = _place(np.log(table.runtime_ms), np.log(runtime_ms))
    upper = (1 - right) * scores[row, column] + right * scores[row, column + 1]
    lower = (1 - right) * scores[row + 1, column] + right * scores[row + 1, column + 1]
    found: Floats = (1 - down) * upper + down * lower
    return found


def _place(grid: Floats, values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the grid cell that each value lies in, and its distance from the cell's start as a share of the cell."""
    # A value outside of the grid gets the nearest cell and a share beyond it, which becomes NaN below.
    cell = np.clip(np.searchsorted(grid, values, side="right") - 1, 0, grid.size - 2)
    share = (values - grid[cell]) / (grid[cell + 1] - grid[cell])
    share[(share < 0) | (share > 1)] = np.nan
    return cell, share


@dataclass(frozen=True, slots=True)
class GateLine:
    """A gate as a line in a plot.

    Attributes
    ----------
    keys
        The columns on whose axes it is drawn. A gate on the PSNR of one data set is drawn on that of the mean, too.
    level
        Where, in the unit of the column.
    text
        The condition.
    """

    keys: tuple[str, ...]
    level: float
    text: str


def gate_lines(run: Run) -> list[GateLine]:
    """Return the gates of a run's track that are figures of its table."""
    columns = {column.declared.name: column for column in columns_of(run)}
    found = []
    for gate in run.track.gates:
        known = figure_of(gate.figure)
        if known is None:
            continue
        figure, role = known
        # Figures of formulas and columns of the table have different names.
        # `role`: the data set of the gate, such as test; empty for a figure of the whole track.
        name = {"psnr": run.track.metric, "memory_bytes": "peak_memory_bytes"}.get(figure.name, figure.name)
        names = [f"{name}_{role}", name] if role else [name]
        keys = tuple(columns[one].key for one in names if one in columns)
        if keys:
            found.append(GateLine(keys, gate.least / columns[name].declared.scale, gate.text))
    return found


def bicubic_of(run: Run) -> list[float]:
    """Return the PSNR of bicubic in dB, or nothing if the run does not know it."""
    return [] if run.track.bicubic_source == "unknown" else [run.track.bicubic_psnr]


def metric_of(run: Run) -> Metric:
    """Return which PSNR the track scores."""
    return run.track.metric


def quality(entry: Entry, metric: Metric) -> float | None:
    """Return the PSNR that the track scores, in dB."""
    return entry.psnr_y if metric == "psnr_y" else entry.psnr_rgb
