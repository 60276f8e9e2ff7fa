"""The matrix of corrected p-values between ranked rows, as the run stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.report.numbers import fixed
from harness.report.rows import Row
from harness.results.schema import Entry, PairComparison, Run
from harness.statistics.inference import is_significant

MOST_ROWS = 24


@dataclass(frozen=True, slots=True)
class PairCell:
    """One pair: the corrected p-value as shown, which of the two is ahead, and the difference of their scores."""

    text: str
    verdict: Literal["ahead", "behind", "tied", "self"]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class PairMatrix:
    """The best ranked rows against one another; `left_out` counts the others."""

    rows: list[tuple[Row, list[PairCell | None]]]
    left_out: int


def pair_matrix(run: Run, rows: Sequence[Row]) -> PairMatrix | None:
    """Return the p-values of all pairs of the best ranked rows; None if the run stores none or has one ranked row.

    A cell is None if the run stores no comparison of the pair.
    """
    ranked = sorted((row for row in rows if row.entry.rank is not None), key=lambda row: row.entry.rank or 0)
    shown = ranked[:MOST_ROWS]
    if len(shown) < 2 or not run.comparisons:
        return None
    # One lookup for each cell instead of a search through all pairs.
    known = {found.slugs: found for found in run.comparisons}
    cells = [(row, [_cell(known, row.entry, other.entry, run) for other in shown]) for row in shown]
    return PairMatrix(cells, len(ranked) - len(shown))


def _cell(known: dict[tuple[str, str], PairComparison], one: Entry, other: Entry, run: Run) -> PairCell | None:
    if one.slug == other.slug:
        return PairCell("", "self")
    found = known.get((one.slug, other.slug)) or known.get((other.slug, one.slug))
    if found is None:
        return None
    # A pair is stored in one order only.
    difference, what = found.difference if found.slugs[0] == one.slug else -found.difference, "scores"
    if one.score_log10 is not None and other.score_log10 is not None:
        # Stored scores end at the largest number, so that the difference of two of them may be 0.
        difference, what = one.score_log10 - other.score_log10, "log10 scores"
    better = difference > 0 if run.track.higher_is_better else difference < 0
    verdict: Literal["ahead", "behind", "tied"] = "tied"
    if is_significant(found.corrected_p_value):
        verdict = "ahead" if better else "behind"
    return PairCell(
        p_text(found.corrected_p_value),
        verdict,
        f"difference of the {what} {difference:+.3g}; uncorrected p = {p_text(found.p_value)}",
    )


def p_text(p_value: float) -> str:
    """Return a p-value as shown: three decimals, and only that it is smaller below 0.001.

    One that rounding would put on the other side of the level has as many decimals as show its side.
    """
    if p_value < 0.001:
        return "< 0.001"
    digits = next(n for n in range(3, 17) if is_significant(round(p_value, n)) == is_significant(p_value))
    return fixed(p_value, digits)
