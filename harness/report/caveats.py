"""Marks, intervals and ties that accompany figures in all tables, and the notes that explain them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.columns import Column
from harness.report.numbers import fixed
from harness.report.rows import Row
from harness.results.columns import LOWER_BOUND
from harness.results.record import Interval
from harness.results.schema import Entry, Run, Runtime
from harness.statistics.runtime_summary import STABLE_SAMPLES
from harness.text import single_line

_MOST_WARNINGS = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign with its LaTeX form and what it means."""

    sign: str
    latex: str
    meaning: str


UNSETTLED = Mark("\N{DAGGER}", r"$^{\dagger}$", "time not settled: too few or too scattered calls")
RECONSTRUCTED = Mark(
    "\N{DOUBLE DAGGER}", r"$^{\ddagger}$", "reconstructed: layers solved from published counts, not read in code"
)
GATED = Mark("\N{SECTION SIGN}", r"$^{\S}$", "not ranked: misses a condition of the track")
INEXACT = Mark(
    "\N{PILCROW SIGN}", r"\textsuperscript{\P}", "score and ranks not exact: they rest on a count that is a lower bound"
)
BOUND = Mark(LOWER_BOUND, r"$\geq$", "lower bound: operators that could not be counted are left out")
_MARKS = (UNSETTLED, RECONSTRUCTED, GATED, INEXACT, BOUND)
"""In the order in which notes explain them."""

_FROM_TIME = {"runtime_ms", "fps"}
"""Columns that an unsettled time makes uncertain."""


def name_marks(entry: Entry) -> list[Mark]:
    """Return the marks that follow the name of a row."""
    known = (
        (RECONSTRUCTED, entry.reconstructed),
        (GATED, bool(entry.failed_gates)),
        (INEXACT, bool(entry.partly_counted)),
    )
    return [mark for mark, wanted in known if wanted]


def is_unsettled(column: Column, entry: Entry) -> bool:
    """Return whether a figure rests on times that did not settle."""
    if column.value(entry) is None:
        return False
    unsettled = entry.runtime_ms is not None and not entry.runtime_ms.stable
    # `doubtful` is declared for the runtime; frames per second are derived from it and are as uncertain.
    return column.doubtful(entry) or (column.key in _FROM_TIME and unsettled)


def why_unsettled(runtime: Runtime) -> str:
    """Return why a time did not settle, in a few words; empty if it did."""
    if runtime.stable:
        return ""
    if runtime.samples < STABLE_SAMPLES:
        return f"{runtime.samples} timed call{'' if runtime.samples == 1 else 's'}, and {STABLE_SAMPLES} are needed"
    low, high = runtime.ci
    return f"its 95 % interval is \N{PLUS-MINUS SIGN}{fixed(100 * (high - low) / 2 / runtime.median, 1)} %"


def interval(column: Column, entry: Entry) -> Interval | None:
    """Return the 95 % interval of a figure, in the column's unit, or None if it has none."""
    # A time that authors state has no samples and no interval.
    times = entry.runtime_ms.ci if entry.runtime_ms and entry.runtime_ms.is_measured else None
    if column.key == "fps":
        # Frames per second are the inverse of the time, so the ends of the interval change places.
        return None if times is None or min(times) <= 0 else (1e3 / times[1], 1e3 / times[0])
    known = {"score": entry.score_ci, "score_log10": entry.score_log10_ci, "runtime_ms": times}
    return known.get(column.key)


def tied_ranks(row: Row, rows: Sequence[Row]) -> str:
    """Return the ranks of the rows whose scores do not differ significantly from this one's, such as ``1, 3-5``."""
    tied = set(row.entry.tied_with)
    ranks = sorted({other.entry.rank for other in rows if other.entry.slug in tied and other.entry.rank is not None})
    # Consecutive ranks become one span, as 3 to 5.
    spans: list[list[int]] = []
    for rank in ranks:
        if spans and rank == spans[-1][1] + 1:
            spans[-1][1] = rank
        else:
            spans.append([rank, rank])
    return ", ".join(str(low) if low == high else f"{low}\N{EN DASH}{high}" for low, high in spans)


def notes(
    run: Run, rows: Sequence[Row], columns: Sequence[Column], *, ci: bool = False, ties: bool = True
) -> list[tuple[str, str]]:
    """Return the notes below a table, as (sign, sentence); the sign is empty for notes on the whole table.

    Parameters
    ----------
    run
        Whose table it is.
    rows, columns
        What is printed.
    ci
        Whether intervals are printed.
    ties
        Whether the ranks of tied rows are printed.
    """
    entries = [row.entry for row in rows]
    found = [(mark.sign, mark.meaning) for mark in used_marks(entries, columns)]
    if ties and any(tied_ranks(row, rows) for row in rows):
        found.append(
            ("", "tied with: ranks of scores that do not differ significantly (corrected p-value of 0.05 or more)")
        )
    if any(row.stated for row in rows):
        found.append(("", "published: stated by the authors, on other images and another machine; not ranked"))
    if ci:
        found.append(("", "in brackets: 95 % intervals"))
    if not run.run.complete:
        found.append(("", "the run was interrupted: submissions may be missing"))
    found += [("", f"warning: {single_line(text, 200)}") for text in run.warnings[:_MOST_WARNINGS]]
    if len(run.warnings) > _MOST_WARNINGS:
        found.append(("", f"and {len(run.warnings) - _MOST_WARNINGS} more warnings in results.json"))
    return found


def used_marks(entries: Iterable[Entry], columns: Sequence[Column]) -> list[Mark]:
    """Return the marks that a table of these rows and columns contains."""
    used: dict[str, Mark] = {}
    for entry in entries:
        for mark in name_marks(entry):
            used[mark.sign] = mark
        for column in columns:
            if is_unsettled(column, entry):
                used[UNSETTLED.sign] = UNSETTLED
            if column.lower_bound(entry):
                used[BOUND.sign] = BOUND
    return [mark for mark in _MARKS if mark.sign in used]


def latex_sign(sign: str) -> str:
    """Return a mark's sign as LaTeX."""
    return {mark.sign: mark.latex for mark in _MARKS}.get(sign, "")


def record_of(entry: Entry) -> dict[str, object]:
    """Return the caveats of a row for tables of data, by column."""
    runtime = entry.runtime_ms
    measured = runtime is not None and runtime.is_measured
    score, times = entry.score_ci or (None, None), runtime.ci if runtime and measured else (None, None)
    return {
        "tied_with": " ".join(entry.tied_with),
        "score_ci_low": score[0],
        "score_ci_high": score[1],
        "runtime_ci_low": times[0],
        "runtime_ci_high": times[1],
        "runtime_settled": runtime.stable if runtime and measured else None,
        "runtime_samples": runtime.samples if runtime else None,
        "runtime_note": runtime.note if runtime else None,
        "reconstructed": entry.reconstructed,
        "failed_gates": "; ".join(entry.failed_gates),
        "partly_counted": " ".join(entry.partly_counted),
        "notes": "; ".join(entry.notes),
    }
