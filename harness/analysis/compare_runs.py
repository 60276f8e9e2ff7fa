"""Compare two runs: which conditions and figures changed, and which changes are significant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.analysis.compare_models import (
    FigureComparison,
    StoredModel,
    compare_quality,
    compare_runtime,
    compare_score,
)
from harness.analysis.conditions import Figures, condition_changes, incomparable
from harness.report.columns import runtime_of
from harness.report.rules import metric_of, quality
from harness.results.comparison import FigureShift, ModelChange, RunComparison
from harness.results.run_folder import RunFolder
from harness.statistics.inference import is_significant


def compare_runs(before: RunFolder, after: RunFolder) -> RunComparison:
    """Compare two runs.

    Models are matched by slug. Each figure of a model is compared as `compare_models` compares it: a change is
    significant if its p-value is below 0.05. It is one pair of measurements, so the p-value is not corrected. Figures
    that conditions make incomparable are kept, but they have no difference.

    Raises
    ------
    ResultsError
        The samples of a run are damaged.
    """
    # Runs of earlier releases may have rows without a slug.
    old = {entry.slug or entry.name: entry for entry in before.run.entries}
    new = {entry.slug or entry.name: entry for entry in after.run.entries}
    conditions = condition_changes(before, after)
    invalid = incomparable(conditions)
    changes = [
        _change(StoredModel(before, old[key]), StoredModel(after, entry), invalid)
        for key, entry in new.items()
        if key in old
    ]
    return RunComparison(
        before=before,
        after=after,
        metric=metric_of(after.run),
        conditions=conditions,
        changes=sorted(changes, key=lambda change: (not change.significant, _size(change), change.after.name)),
        added=[new[key] for key in new if key not in old],
        removed=[old[key] for key in old if key not in new],
    )


def _change(before: StoredModel, after: StoredModel, invalid: set[Figures]) -> ModelChange:
    metric = metric_of(after.folder.run)
    old, new = before.entry, after.entry
    times = runtime_of(old, before.folder.run.protocol), runtime_of(new, after.folder.run.protocol)
    # The later run is the first argument, so that a difference is that of the later run minus the earlier one.
    score = _shift(old.ordered_score, new.ordered_score, "scores" not in invalid, lambda: compare_score(after, before))
    if score is not None and score.comparable and score.before == score.after:
        score = replace(score, significant=False)  # scores of 0 remain equal without data
    psnr = quality(old, metric), quality(new, metric)
    return ModelChange(
        before=old,
        after=new,
        score=score,
        psnr=_shift(*psnr, "quality" not in invalid, lambda: compare_quality(after, before, metric)),
        runtime=_shift(*times, "times" not in invalid, lambda: compare_runtime(after, before)),
    )


def _shift(
    before: float | None, after: float | None, comparable: bool, compare: Callable[[], FigureComparison | None]
) -> FigureShift | None:
    if before is None or after is None:
        return None
    if not comparable:
        return FigureShift(before, after, significant=None, comparable=False)
    comparison = compare()
    return FigureShift(before, after, None if comparison is None else is_significant(comparison.corrected_p_value))


def _size(change: ModelChange) -> float:
    """Return a sort key: the largest relative change of the score, or of the runtime, comes first."""
    # A score of 0 before has no relative change, nor has one under other conditions.
    shift = change.score if change.score and change.score.ratio is not None else change.runtime
    ratio = shift.ratio if shift else None
    return -abs(ratio - 1) if ratio is not None else 0.0
