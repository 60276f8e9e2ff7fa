"""One model, or all of them, over the runs of a folder."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from harness.analysis.compare_runs import compare_runs
from harness.errors import ResultsError, UsageError
from harness.report.columns import runtime_of
from harness.report.rules import metric_of, quality
from harness.results.comparison import GridCell, HistoryGrid, HistoryPoint, ModelChange, ModelHistory
from harness.results.reading import reading
from harness.results.run_folder import RunFolder, load_run
from harness.results.run_info import moment_of
from harness.results.schema import Run
from harness.suggestions import choice

# What tells the folder of an unfinished or damaged run from other folders.
_PARTS = ("measurements", "samples", "logs", "per_image.csv", "leaderboard.csv", "leaderboard.html")


def model_history(root: Path, model: str) -> ModelHistory:
    """Return a model's rows in all runs of a folder, the earliest first, and which runs cannot be read.

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
    runs, skipped = _runs(root)
    points = [point for folder in runs if (point := _point(folder, model)) is not None]
    if not points:
        known = sorted({entry.name for folder in runs for entry in folder.run.entries})
        what = f"no run holds a model {model!r}{_spelled(skipped)}"
        raise UsageError(what, where=str(root), hint=choice(model, known))
    return ModelHistory(sorted(points, key=lambda point: (moment_of(point.created), point.run)), skipped)


def history_grid(root: Path) -> HistoryGrid:
    """Return all models over the runs of a folder, with what changed significantly from run to run.

    Parameters
    ----------
    root
        Folder that contains runs. Those that cannot be read or have a damaged file are left out and named.

    Raises
    ------
    UsageError
        The folder contains no run.
    """
    found, skipped = _runs(root)
    in_order = sorted(found, key=lambda folder: (moment_of(folder.run.run.created), folder.path.name))
    folders, changes, damaged = _with_changes(in_order)
    skipped += damaged
    if not folders:
        what = f"there is no run to read{_spelled(skipped)}"
        raise UsageError(what, where=str(root), hint="name the folder that holds the runs")
    cells: dict[str, dict[int, GridCell]] = {}
    names: dict[str, str] = {}
    for place, (folder, changed) in enumerate(zip(folders, changes, strict=True)):
        for entry in folder.run.entries:
            names[entry.slug or entry.name] = entry.name
            mark = _mark(changed.get(entry.slug or entry.name), folder.run) if place else ""
            cell = GridCell(entry, runtime_of(entry, folder.run.protocol), mark)
            cells.setdefault(entry.slug or entry.name, {})[place] = cell
    runs = [(folder.path.name, folder.run.run.created) for folder in folders]
    rows = [(names[key], [found.get(place) for place in range(len(folders))]) for key, found in cells.items()]
    return HistoryGrid(runs, rows, skipped)


def _with_changes(folders: list[RunFolder]) -> tuple[list[RunFolder], list[dict[str, ModelChange]], list[str]]:
    """Return the runs without those whose samples or images are damaged, the changes in each, and why runs are not."""
    try:
        return folders, _all_changes(folders), []
    except ResultsError:
        # A comparison of a run with itself reads the files that any comparison with it reads.
        faults = {folder.path: fault for folder in folders if (fault := _fault(folder))}
        if not faults:
            raise
    sound = [folder for folder in folders if folder.path not in faults]
    return sound, _all_changes(sound), list(faults.values())


def _fault(folder: RunFolder) -> str:
    """Return what is damaged in the samples and images of a run; empty if nothing is."""
    try:
        with reading(folder.path):
            compare_runs(folder, folder)
    except ResultsError as error:
        return _reason(folder.path, error)
    return ""


def _all_changes(folders: list[RunFolder]) -> list[dict[str, ModelChange]]:
    """Return for each run the changes since the run before it; none for the first one."""
    # With the run before it only, so that a slow drift of many small steps has no mark.
    return [{} for _ in folders[:1]] + [_changes(before, after) for before, after in pairwise(folders)]


def _changes(before: RunFolder, after: RunFolder) -> dict[str, ModelChange]:
    """Return the changes by slug; none if the runs cannot be compared."""
    # Under other conditions, a change says nothing about the model.
    if _conditions(before.run) != _conditions(after.run):
        return {}
    with reading(after.path):
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


def _runs(root: Path) -> tuple[list[RunFolder], list[str]]:
    """Return the runs of a folder, and the name of each that cannot be read, with the reason."""
    runs, skipped = [], []
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        try:
            if (folder / "results.json").is_file():
                runs.append(load_run(folder))
            elif _seems_a_run(folder):
                skipped.append(f"{folder.name}: there is no results.json")
        except ResultsError as error:
            skipped.append(_reason(folder, error))
        except OSError as error:
            skipped.append(f"{folder.name}: cannot be read ({error.strerror or error})")
    return runs, skipped


def _seems_a_run(folder: Path) -> bool:
    """Return whether a folder without results is empty or has a part of a run; other folders are not named."""
    inside = {path.name for path in folder.iterdir()}
    return not folder.name.startswith(".") and (not inside or not inside.isdisjoint(_PARTS))


def _reason(folder: Path, error: ResultsError) -> str:
    """Return the name of a run, the file at fault, and what is wrong with it."""
    file = Path(error.where) if error.where else folder
    inside = f"{file.relative_to(folder)} " if file != folder and file.is_relative_to(folder) else ""
    return f"{folder.name}: {inside}{error.what}"


def _spelled(skipped: list[str]) -> str:
    """Return the runs that could not be read as the end of a message."""
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f" (not read: {'; '.join(skipped[:3])}{more})" if skipped else ""


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
