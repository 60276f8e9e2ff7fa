"""The comparison of two runs, for the terminal and as a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.report.columns import score_heading
from harness.report.numbers import digits_for, fixed
from harness.report.rules import NAMES
from harness.report.site import page, write_page
from harness.results.comparison import FigureShift, ModelChange, RunComparison
from harness.results.run_info import Disturbance
from harness.statistics.disturbances import disturbances_of

SCRIPTS = ("theme.js",)
# Shown with a difference: it is significant, it is not, there are no data to decide.
SIGNS = {True: "*", False: "", None: "?"}
INCOMPARABLE = "n/a"
"""Stands in place of a difference that the conditions of the runs make meaningless."""


def build_comparison(comparison: RunComparison, out: Path | None = None) -> Path:
    """Write a page that compares two runs.

    Parameters
    ----------
    comparison
        Of two runs.
    out
        The page; by default ``compare-ID.html`` in the folder of the later run, where ID names the earlier one.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResultsError
        The page cannot be written.
    """
    target = out or comparison.after.path / f"compare-{comparison.before.path.resolve().name}.html"
    write_page(target, comparison_page(comparison))
    return target


def comparison_page(
    comparison: RunComparison, path: Sequence[tuple[str, str]] = (("leaderboard.html", "Leaderboard"),)
) -> str:
    """Return a comparison as HTML, with links to other pages, (address, title), on top."""
    return page(
        "compare.html",
        SCRIPTS,
        path=path,
        run=comparison.after.run,
        old=comparison.before.run,
        comparison=comparison,
        disturbed=disturbed(comparison),
        rows=[(change, _cells(comparison, change), _before(comparison, change)) for change in comparison.changes],
        # The page draws a bar for each change of a time, in proportion to the largest one.
        score=_score_heading(comparison).capitalize(),
        psnr=NAMES[comparison.metric],
        left_out=_left_out(comparison),
        widest=max((abs(ratio - 1) for ratio in _ratios(comparison.changes)), default=0.0),
    )


def comparison_text(comparison: RunComparison) -> str:
    """Return a comparison as lines for a terminal."""
    before, after = comparison.before, comparison.after
    head = ["model", _score_heading(comparison), "", f"{NAMES[comparison.metric]} dB", "", "runtime ms", "", "status"]
    rows = [_text_row(comparison, change) for change in comparison.changes]
    title, remarks = (
        f"{before.run.run.id} -> {after.run.run.id}",
        [*_warnings(comparison), *_disturbed_lines(comparison)],
    )
    lines = [title, *remarks, "", *_aligned([head, *rows])]
    for title, entries in (("added", comparison.added), ("removed", comparison.removed)):
        if entries:
            lines.append(f"{title}: {', '.join(_printable(entry.name) for entry in entries)}")
    explained = "* significant (p < 0.05)   ? no samples or images to decide"
    lines.append(f"{explained}   {INCOMPARABLE} other conditions" if _left_out(comparison) else explained)
    return "\n".join(lines) + "\n"


def _score_heading(comparison: RunComparison) -> str:
    return score_heading(change.after for change in comparison.changes)


def _left_out(comparison: RunComparison) -> bool:
    """Return whether a figure of a model is not compared because of the conditions of the runs."""
    shifts = (shift for one in comparison.changes for shift in (one.score, one.psnr, one.runtime))
    return any(shift is not None and not shift.comparable for shift in shifts)


def _warnings(comparison: RunComparison) -> list[str]:
    return [
        f"{'! ' if one.invalidates else '  '}{one.what}: {_printable(one.before)} -> {_printable(one.after)}"
        + (f"  ({one.verdict})" if one.invalidates else "")
        for one in comparison.conditions
    ]


def disturbed(comparison: RunComparison) -> list[tuple[str, Disturbance]]:
    """Return what disturbed either run, as (identifier of the run, disturbance)."""
    folders = (comparison.before, comparison.after)
    return [(folder.run.run.id, one) for folder in folders for one in disturbances_of(folder)]


def _disturbed_lines(comparison: RunComparison) -> list[str]:
    return [f"! disturbed: {run}: {_printable(one.sentence)}" for run, one in disturbed(comparison)]


def _text_row(comparison: RunComparison, change: ModelChange) -> list[str]:
    # Eight columns: model, three figures with their differences, status.
    cells = [text for pair in _cells(comparison, change) for text in pair]
    status = "" if change.before.status == change.after.status else f"{change.before.status} -> {change.after.status}"
    return [_printable(change.after.name), *cells, status]


def _cells(comparison: RunComparison, change: ModelChange) -> list[tuple[str, str]]:
    """Return (value after, difference with its sign of significance) for score, PSNR and runtime."""
    of_score, of_psnr, of_runtime = _digits(comparison)
    return [
        _pair(change.score, of_score, relative=False),
        _pair(change.psnr, of_psnr, relative=False),
        _pair(change.runtime, of_runtime, relative=True),
    ]


def _before(comparison: RunComparison, change: ModelChange) -> list[str]:
    """Return the values before for score, PSNR and runtime."""
    shifts = zip((change.score, change.psnr, change.runtime), _digits(comparison), strict=True)
    return ["" if shift is None else fixed(shift.before, digits) for shift, digits in shifts]


def _digits(comparison: RunComparison) -> tuple[int, int, int]:
    """Return the decimals of score, PSNR and runtime."""
    times = [other.runtime.after for other in comparison.changes if other.runtime]
    scores = [other.score.after for other in comparison.changes if other.score]
    # PSNR always has three decimals: differences of interest are hundredths of a decibel.
    return max(2, digits_for(scores, 4, 6)), 3, digits_for(times)


def _pair(shift: FigureShift | None, digits: int, *, relative: bool) -> tuple[str, str]:
    if shift is None:
        return "", ""
    if shift.difference is None:
        return fixed(shift.after, digits), INCOMPARABLE
    # Times are compared by their ratio, scores and PSNR by their difference.
    if relative and shift.ratio is not None:
        moved = f"{fixed(100 * (shift.ratio - 1), 1, signed=True)} %"
    else:
        moved = fixed(shift.difference, digits, signed=True)
    return fixed(shift.after, digits), moved + SIGNS[shift.significant]


def _ratios(changes: Iterable[ModelChange]) -> list[float]:
    return [change.runtime.ratio for change in changes if change.runtime and change.runtime.ratio is not None]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(_padded(text, widths[at], at) for at, text in enumerate(row)).rstrip() for row in rows]


def _padded(text: str, width: int, at: int) -> str:
    # The first and the last column, model and status, hold text.
    return text.ljust(width) if at in {0, 7} else text.rjust(width)


def _printable(text: str) -> str:
    """Return text without what could move a terminal's cursor or turn its direction."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
