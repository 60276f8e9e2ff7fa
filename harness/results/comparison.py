"""Records of comparisons between models, between runs, and of one model over runs.

They are computed in `harness.analysis` and shown by `harness.report` and the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.results.record import Interval
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry


@dataclass(frozen=True, slots=True)
class FigureShift:
    """One figure before and after.

    Attributes
    ----------
    before, after
        The figure in either run.
    significant
        Whether the two differ significantly; None if there are no data to decide it, or if they cannot be compared.
    comparable
        Whether the conditions of the runs allow a comparison.
    """

    before: float
    after: float
    significant: bool | None
    comparable: bool = True

    @property
    def difference(self) -> float | None:
        """After minus before; None if they cannot be compared."""
        return self.after - self.before if self.comparable else None

    @property
    def ratio(self) -> float | None:
        """After divided by before; None if before is 0, or if they cannot be compared."""
        return self.after / self.before if self.before and self.comparable else None


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One model that both runs contain; a shift is None if one run lacks the figure.

    ``score`` is that of the logarithms where scores may exceed float64.
    """

    before: Entry
    after: Entry
    score: FigureShift | None
    psnr: FigureShift | None
    runtime: FigureShift | None

    @property
    def significant(self) -> bool:
        """Whether its status changed, or any figure changed significantly."""
        shifts = (self.score, self.psnr, self.runtime)
        # None, no data to decide, counts as not significant.
        return self.before.status != self.after.status or any(
            shift is not None and shift.significant for shift in shifts
        )


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """A condition that differs between two runs.

    Attributes
    ----------
    what
        Name of the condition.
    before, after
        Its values.
    invalidates
        Which figures cannot be compared because of it; empty if all can.
    """

    what: str
    before: str
    after: str
    invalidates: str

    @property
    def verdict(self) -> str:
        """What cannot be compared because of it, as a clause; empty if everything can."""
        if self.invalidates == "everything":
            return "nothing can be compared"
        return f"{self.invalidates} cannot be compared" if self.invalidates else ""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs: the conditions and the models that changed, and the models that only one of them contains."""

    before: RunFolder
    after: RunFolder
    metric: Literal["psnr_rgb", "psnr_y"]
    conditions: list[ConditionChange]
    changes: list[ModelChange]
    added: list[Entry]
    removed: list[Entry]


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """A model in one run. Two points are comparable if their ``conditions`` are equal.

    ``score`` is its logarithm where scores may exceed float64.
    """

    run: str
    created: str
    conditions: tuple[str, ...]
    entry: Entry
    score: float | None
    psnr: float | None
    runtime: float | None
    runtime_ci: Interval | None


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """A model in the runs of a folder, the earliest first.

    ``skipped`` names each run that cannot be read, with the reason.
    """

    points: list[HistoryPoint]
    skipped: list[str]


@dataclass(frozen=True, slots=True)
class GridCell:
    """A model in one run.

    Attributes
    ----------
    entry
        Its row.
    runtime
        The runtime that the score uses, ms.
    mark
        ``worse`` or ``better`` if it changed significantly since the run before; ``elsewhere`` if that had other
        conditions, because of which nothing or not everything could be compared, or lacks the model.
    """

    entry: Entry
    runtime: float | None
    mark: Literal["", "worse", "better", "elsewhere"]


@dataclass(frozen=True, slots=True)
class HistoryGrid:
    """All models of a folder over its runs, the earliest first: (name of the run, date), and a cell per model and run.

    A cell is None where the run lacks the model. ``skipped`` names each run that cannot be read, with the reason.
    """

    runs: list[tuple[str, str]]
    rows: list[tuple[str, list[GridCell | None]]]
    skipped: list[str]

    @property
    def regressions(self) -> int:
        """Number of cells that became worse."""
        return sum(cell is not None and cell.mark == "worse" for _, cells in self.rows for cell in cells)


HISTORY_CONDITIONS = (
    "track",
    "score formula",
    "data set",
    "device",
    "threads",
    "protocol",
    "statistic",
    "input",
    "precision",
    "backend",
)
"""Names of the ``conditions`` of a :class:`HistoryPoint`, in order."""
