"""Compare two runs: which conditions and figures changed, and which changes are significant."""

from __future__ import annotations

from harness.analysis.compare_models import (
    FigureComparison,
    StoredModel,
    compare_quality,
    compare_runtime,
    compare_score,
)
from harness.analysis.conditions import condition_changes
from harness.report.columns import runtime_of
from harness.report.rules import metric_of, quality
from harness.results.comparison import FigureShift, ModelChange, RunComparison
from harness.results.run_folder import RunFolder
from harness.statistics.inference import is_significant


def compare_runs(before: RunFolder, after: RunFolder) -> RunComparison:
    """Compare two runs.

    Models are matched by slug. Each figure of a model is compared as `compare_models` compares it: a change is
    significant if its p-value is below 0.05. It is one pair of measurements, so the p-value is not corrected.

    Raises
    ------
    ResultsError
        The samples of a run are damaged.
    """
    # Runs of earlier releases may have rows without a slug.
    old = {entry.slug or entry.name: entry for entry in before.run.entries}
    new = {entry.slug or entry.name: entry for entry in after.run.entries}
    changes = [
        _change(StoredModel(before, old[key]), StoredModel(after, entry)) for key, entry in new.items() if key in old
    ]
    return RunComparison(
        before=before,
        after=after,
        metric=metric_of(after.run),
        conditions=condition_changes(before, after),
        changes=sorted(changes, key=lambda change: (not change.significant, _size(change), change.after.name)),
        added=[new[key] for key in new if key not in old],
        removed=[old[key] for key in old if key not in new],
    )


def _change(before: StoredModel, after: StoredModel) -> ModelChange:
    metric = metric_of(after.folder.run)
    old, new = before.entry, after.entry
    times = runtime_of(old, before.folder.run.protocol), runtime_of(new, after.folder.run.protocol)
    # The later run is the first argument, so that a difference is that of the later run minus the earlier one.
    score = _shift(old.score, new.score, compare_score(after, before))
    if score is not None and score.before == score.after:
        score = FigureShift(score.before, score.after, significant=False)  # scores of 0 remain equal without data
    return ModelChange(
        before=old,
        after=new,
        score=score,
        psnr=_shift(quality(old, metric), quality(new, metric), compare_quality(after, before, metric)),
        runtime=_shift(*times, compare_runtime(after, before)),
    )


def _shift(before: float | None, after: float | None, comparison: FigureComparison | None) -> FigureShift | None:
    if before is None or after is None:
        return None
    return FigureShift(before, after, None if comparison is None else is_significant(comparison.corrected_p_value))


def _size(change: ModelChange) -> float:
    """Return a sort key: the largest relative change of the score, or of the runtime, comes first."""
    # A score of 0 before has no relative change.
    shift = change.score if change.score and change.score.before else change.runtime
    ratio = shift.ratio if shift else None
    return -abs(ratio - 1) if ratio is not None else 0.0
