"""Write a table that was computed from a stored run, as a run of its own inside the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.errors import ResultsError
from harness.files import write_atomically
from harness.results.run_folder import RunFolder
from harness.results.schema import Run
from harness.results.store import save_table

# Files and folders that a derived table shares with its run, unless `changed` replaces them.
_SHARED = ("samples", "layers", "per_image.csv", "logs", "crops")


def write_derived(folder: RunFolder, run: Run, name: str, changed: Mapping[str, bytes] | None = None) -> Path:
    """Write a run's table, with copies of what it shares with the original run.

    Parameters
    ----------
    folder
        The original run.
    run
        The table. The identifier becomes that of the original run followed by `name`.
    name
        Name of the new folder inside the original run's. An older one is replaced.
    changed
        Content of further files by path in the new folder; they replace copies.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    ResultsError
        It cannot be written.
    """
    target = folder.path / name
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for part in _SHARED:
            if (folder.path / part).is_dir():
                shutil.copytree(folder.path / part, target / part)
            elif (folder.path / part).is_file():
                shutil.copy2(folder.path / part, target / part)
        for file, content in (changed or {}).items():
            write_atomically(target / file, content)
    except OSError as error:
        raise ResultsError(f"cannot be written ({error})", where=str(target), hint="free some space") from error
    identified = run.run.model_copy(update={"id": f"{folder.run.run.id}-{name}"})
    # Last: `results.json` is the sign that the folder is complete.
    save_table(target, run.model_copy(update={"run": identified}))
    return target
