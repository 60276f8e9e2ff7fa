"""Save what was measured elsewhere when the run's folder is removed or replaced during the run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import ResultsError
from harness.results import Measurement, RunStore


class Rescue:
    """Saves what a run has measured in another folder if the run's own is gone.

    Parameters
    ----------
    store
        The run's store.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Save what was measured if an exception ends the context and the run's folder is gone.

        Raises
        ------
        ResultsError
            The folder is gone. The message says where what was measured is.
        """
        try:
            yield
            self._store.require_folder()
        except (ResultsError, OSError) as error:
            # Another error, such as a full disk: the folder exists, and what was measured is in it.
            if self._store.is_intact():
                raise
            raise self._saved_elsewhere() from error

    def _saved_elsewhere(self) -> ResultsError:
        gone = "the run's folder was removed or replaced while the run went on"
        folder = self._store.folder
        measured = list(self._store.known.values())
        if not measured:
            hint = "nothing had been measured; run it again and leave the folder alone until the run ends"
            return ResultsError(gone, where=str(folder), hint=hint)
        place = _save(measured, folder)
        if place is None:
            hint = "what was measured could not be saved anywhere: free disk space and run it again"
            return ResultsError(gone, where=str(folder), hint=hint)
        number = len(measured)
        what = f"{gone}; the measurement{'s' if number > 1 else ''} of {number} submission{'s' if number > 1 else ''}"
        hint = f"rename that folder to {folder.name} (--out), and the same command goes on from there"
        return ResultsError(f"{what} {'are' if number > 1 else 'is'} saved in {place}", where=str(folder), hint=hint)


def _save(measured: Sequence[Measurement], folder: Path) -> Path | None:
    """Write measurements to a new folder and return it; None if no folder can be written."""
    # Beside the lost folder first, where the user looks for it.
    for parent in (folder.absolute().parent, Path(tempfile.gettempdir())):
        try:
            place = Path(tempfile.mkdtemp(prefix=f"{folder.name[:100]}-saved-", dir=parent))
            place.chmod(0o755)  # mkdtemp creates it with 0700
            store = RunStore(place)
            for measurement in measured:
                store.save_measurement(measurement)
        except (OSError, ResultsError):
            continue
        return place
    return None
