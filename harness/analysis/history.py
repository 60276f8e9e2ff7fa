"""One model, or all of them, over the runs of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.analysis.compare_runs import compare_runs
from harness.errors import ResultsError, UsageError
from harness.report.columns import runtime_of
from harness.report.rules import metric_of, quality
from harness.results.comparison import GridCell, HistoryGrid, HistoryPoint, ModelChange
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


def history_grid(root: Path) -> HistoryGrid:
    """Return all models over the runs of a folder, with what changed significantly from run to run.

    Parameters
    ----------
    root
        Folder that contains runs. Runs that cannot be read are skipped.

    Raises
    ------
    UsageError
        The folder contains no run.
    """
    folders = sorted(_runs(root), key=lambda folder: (folder.run.run.created, folder.path.name))
    if not folders:
        raise UsageError("there is no run to read", where=str(root), hint="name the folder that holds the runs")
    cells: dict[str, dict[int, GridCell]] = {}
    names: dict[str, str] = {}
    for place, folder in enumerate(folders):
        # With the run before it only, so that a slow drift of many small steps has no mark.
        changes = _changes(folders[place - 1], folder) if place else {}
        for entry in folder.run.entries:
            names[entry.slug or entry.name] = entry.name
            mark = _mark(changes.get(entry.slug or entry.name), folder.run) if place else ""
            cell = GridCell(entry, runtime_of(entry, folder.run.protocol), mark)
            cells.setdefault(entry.slug or entry.name, {})[place] = cell
    runs = [(folder.path.name, folder.run.run.created) for folder in folders]
    rows = [(names[key], [found.get(place) for place in range(len(folders))]) for key, found in cells.items()]
    return HistoryGrid(runs, rows)


def _changes(before: RunFolder, after: RunFolder) -> dict[str, ModelChange]:
    """Return the changes by slug; none if the runs cannot be compared."""
    # Under other conditions, a change says nothing about the model.
    if _conditions(before.run) != _conditions(after.run):
        return {}
    return {change.after.slug or change.after.name: change for change in compare_runs(before, after).changes}


def _mark(change: ModelChange | None, run: Run) -> Literal["", "worse", "better", "elsewhere"]:
    if change is None:
        return "elsewhere"
    if change.before.status != change.after.status:
        return "better" if change.after.status == "ok" else "worse"
    higher = 1 if run.track.higher_is_better else -1
    directions = ((change.score, higher), (change.psnr, 1), (change.runtime, -1))
    shifts = [(shift, sign) for shift, sign in directions if shift is not None]
    gains = [sign * (shift.after - shift.before) for shift, sign in shifts if shift.significant]
    # One significant loss outweighs gains of other figures.
    if gains:
        return "worse" if any(gain < 0 for gain in gains) else "better"
    return "" if all(shift.comparable for shift, _ in shifts) else "elsewhere"


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
                score=entry.ordered_score,
                psnr=quality(entry, metric_of(run)),
                runtime=runtime_of(entry, run.protocol),
                runtime_ci=entry.runtime_ms.ci if entry.runtime_ms else None,
            )
    return None


def _conditions(run: Run) -> tuple[str, ...]:
    """Return the values of `HISTORY_CONDITIONS`."""
    scored = run.track.name, run.track.score_formula, run.dataset.fingerprint
    timed = run.device.name, str(run.device.threads), run.protocol.name, run.protocol.statistic
    size = "x".join(map(str, run.protocol.input_shape))
    return (*scored, *timed, size, run.protocol.precision, run.protocol.backend)
