"""One model over the runs of a folder."""

from __future__ import annotations

from pathlib import Path

from harness.errors import ResultsError, UsageError
from harness.report.columns import runtime_of
from harness.report.rules import metric_of, quality
from harness.results.comparison import HistoryPoint
from harness.results.run_folder import RunFolder, load_run
from harness.results.schema import Run
from harness.suggestions import choice


def model_history(root: Path, model: str) -> list[HistoryPoint]:
    """Return a model's rows in all runs of a folder, the earliest first. Runs that cannot be read are skipped.

    Parameters
    ----------
    root
        Folder that contains runs.
    model
        The model's name or slug.

    Raises
    ------
    UsageError
        No run contains the model.
    """
    runs = _runs(root)
    points = [point for folder in runs if (point := _point(folder, model)) is not None]
    if not points:
        known = sorted({entry.name for folder in runs for entry in folder.run.entries})
        raise UsageError(f"no run holds a model {model!r}", where=str(root), hint=choice(model, known))
    return sorted(points, key=lambda point: (point.created, point.run))


def _runs(root: Path) -> list[RunFolder]:
    runs = []
    for file in sorted(root.glob("*/results.json")):
        try:
            runs.append(load_run(file))
        except ResultsError:
            continue
    return runs


def _point(folder: RunFolder, model: str) -> HistoryPoint | None:
    run = folder.run
    # By slug first: it belongs to one row, while a name may be another row's slug.
    for entry in sorted(run.entries, key=lambda entry: entry.slug != model):
        if model in {entry.name, entry.slug}:
            return HistoryPoint(
                run=folder.path.name,
                created=run.run.created,
                conditions=_conditions(run),
                entry=entry,
                score=entry.score,
                psnr=quality(entry, metric_of(run)),
                runtime=runtime_of(entry, run.protocol),
                runtime_ci=entry.runtime_ms.ci if entry.runtime_ms else None,
            )
    return None


def _conditions(run: Run) -> tuple[str, ...]:
    """Return the values of `HISTORY_CONDITIONS`."""
    protocol = run.protocol
    device = run.device.name, str(run.device.threads)
    return (run.track.name, run.dataset.fingerprint, *device, protocol.name, protocol.precision, protocol.backend)
