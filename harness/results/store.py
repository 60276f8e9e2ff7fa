"""Read and write the folder of one run. All files are written atomically, so that readers never see a partial file."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from string import hexdigits

from filelock import FileLock, Timeout

from harness.errors import ResultsError, UsageError
from harness.files import remove_remains, write_atomically
from harness.results.columns import MEASURES, lower_bounds, shown_in
from harness.results.measurement import ImageQuality, Measurement
from harness.results.migration import READABLE_VERSIONS, upgrade
from harness.results.reading import check_measurement, check_run, reading
from harness.results.samples import timing_text
from harness.results.schema import Entry, Run
from harness.text import spreadsheet_text

_RESULTS = "results.json"
_IDENTITY = ("rank", "rank_low", "rank_high", "name", "team", "kind", "status")
"""Columns of ``leaderboard.csv`` before the figures."""
_DELETED = ("measurements", "unfinished", "reference", "crops")
"""Folders in a run's folder that a run may delete as a whole."""
_FINGERPRINT_LENGTH = 64  # of the name of a measurement's file, hexadecimal digits


class RunStore:
    """Reads and writes the files of one run.

    Parameters
    ----------
    folder
        Folder of the run; created together with the first file.

    Attributes
    ----------
    folder
        As given.
    known
        What was read and saved so far, by fingerprint, so that it can be saved elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Measurement] = {}
        self._identity: tuple[int, int] | None = None

    def measurement(self, fingerprint: str) -> Measurement | None:
        """Return the stored measurement, or None if it does not exist or is damaged, so that it is repeated."""
        found = _read_or_none(self._measurement_path(fingerprint), fingerprint)
        # Kept, so that the measurement can be saved elsewhere if the folder is lost.
        if found is not None:
            self.known[fingerprint] = found
        return found

    def damage(self, fingerprint: str) -> str | None:
        """Return why the stored measurement cannot be used; None if it can or does not exist."""
        path = self._measurement_path(fingerprint)
        # A link whose target is missing is damage, too, unlike with exists().
        if not os.path.lexists(path):
            return None
        try:
            read_measurement(path, fingerprint)
        except ResultsError as error:
            return error.what
        return None

    def save_measurement(self, measurement: Measurement) -> None:
        """Store a complete measurement and delete the unfinished one with the same fingerprint."""
        # Serialized before anything is touched: a value that pydantic refuses must not cost the unfinished measurement.
        content = measurement.model_dump_json(indent=1).encode()
        self.known[measurement.fingerprint] = measurement
        self.require_folder()
        write_atomically(self._measurement_path(measurement.fingerprint), content)
        self.forget_unfinished(measurement.fingerprint)

    def unfinished(self, fingerprint: str) -> Measurement | None:
        """Return the partial measurement that a stopped run left, or None."""
        return _read_or_none(self._unfinished_path(fingerprint), fingerprint)

    def save_unfinished(self, measurement: Measurement) -> None:
        """Store a partial measurement, from which a stopped run can resume."""
        self.require_folder()
        write_atomically(self._unfinished_path(measurement.fingerprint), measurement.model_dump_json(indent=1).encode())

    def forget_unfinished(self, fingerprint: str) -> None:
        """Delete a partial measurement, so that a later run starts from the beginning."""
        with suppress(OSError):  # it does not exist, or it is no file
            self._unfinished_path(fingerprint).unlink(missing_ok=True)

    def reference_psnr(self, fingerprint: str) -> float | None:
        """Return the stored PSNR of the reference on a data set, dB, or None if it does not exist or is damaged."""
        try:
            value = json.loads(self._reference_path(fingerprint).read_bytes())["psnr"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return value if isinstance(value, float) and math.isfinite(value) else None

    def save_reference_psnr(self, fingerprint: str, psnr: float) -> None:
        """Store the PSNR of the reference on a data set, dB; `fingerprint` covers everything that it depends on."""
        write_atomically(self._reference_path(fingerprint), json.dumps({"psnr": psnr}).encode())

    def forget_measurements(self) -> None:
        """Delete all stored measurements of this run and their crops."""
        for name in _DELETED:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @contextmanager
    def locked(self, *, fresh: bool = False) -> Iterator[None]:
        """Lock the folder against other runs within the context.

        Parameters
        ----------
        fresh
            Delete the stored measurements first.

        Raises
        ------
        UsageError
            The folder is no run's, and holds what a run would delete.
        ResultsError
            Another run holds the lock, or the folder cannot be created.
        """
        self._require_own()
        lock = FileLock(self.folder / ".lock")  # the kernel releases it when the process is killed
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            hint = "wait for it, or choose another folder with --out"
            raise ResultsError("another run is writing here", where=str(self.folder), hint=hint) from error
        except OSError as error:
            reason = f"cannot be used ({error.strerror or error})"
            raise ResultsError(reason, where=str(self.folder), hint="choose another folder with --out") from error
        try:
            # Temporary files of a run that was killed. The lock is held, so they are of no other run.
            remove_remains(self.folder)
            if fresh:
                self.forget_measurements()
            self._identity = _identity(self.folder)
            yield
        finally:
            lock.release()

    def _require_own(self) -> None:
        """Check that no files of the user would be deleted: ``--out`` may name a folder with other things in it."""
        # A run leaves one of these also if it is killed. Any other folder may have a `measurements` of its own.
        if any((self.folder / name).exists() for name in (".lock", _RESULTS)) or self._has_stored():
            return
        others = [name for name in _DELETED if (self.folder / name).exists()]
        if others:
            what = f"is not the folder of a run, but holds {' and '.join(others)}, which a run would delete"
            raise UsageError(what, where=str(self.folder), hint="choose another folder with --out")

    def _has_stored(self) -> bool:
        """Return whether a run has stored something here: copies of its folder may lack hidden files."""
        names = (path.stem for kind in _DELETED for path in (self.folder / kind).glob("*.json"))
        return any(len(name) == _FINGERPRINT_LENGTH and set(name) <= set(hexdigits) for name in names)

    def is_intact(self) -> bool:
        """Return whether the folder is still the one that was locked: not removed, renamed or replaced."""
        return self._identity is None or _identity(self.folder) == self._identity

    def require_folder(self) -> None:
        """Check that the folder is still there.

        Raises
        ------
        ResultsError
            It was removed, renamed or replaced since it was locked.
        """
        if not self.is_intact():
            raise ResultsError(
                "the run's folder was removed or replaced while the run went on",
                where=str(self.folder),
                hint="leave the folder alone until the run ends",
            )

    def _unfinished_path(self, fingerprint: str) -> Path:
        return self.folder / "unfinished" / f"{fingerprint}.json"

    def _measurement_path(self, fingerprint: str) -> Path:
        return self.folder / "measurements" / f"{fingerprint}.json"

    def _reference_path(self, fingerprint: str) -> Path:
        return self.folder / "reference" / f"{fingerprint}.json"

    def log_path(self, slug: str) -> Path:
        """Return the path of a submission's log, which contains its standard output and standard error."""
        return self.folder / "logs" / f"{slug}.log"

    def save_run(self, run: Run, measurements: Mapping[str, Measurement]) -> None:
        """Write ``results.json``, ``leaderboard.csv``, ``per_image.csv``, ``samples/`` and ``layers/``.

        Parameters
        ----------
        run
            The ranked table.
        measurements
            Measurements that the table is based on, by slug.
        """
        # Before results.json, which the report takes as the sign that all files are there.
        for slug, measurement in measurements.items():
            timing = measurement.timing
            _replace(self.folder / "samples" / f"{slug}.json", None if timing is None else timing_text(slug, timing))
            _replace(self.folder / "layers" / f"{slug}.json", _layers(measurement) if measurement.layers else None)
        write_atomically(self.folder / "per_image.csv", _per_image(measurements))
        save_table(self.folder, run)


def _replace(path: Path, content: bytes | None) -> None:
    """Write a file of a row, or remove that of an earlier measurement where the new one has nothing to write."""
    if content is not None:
        write_atomically(path, content)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def save_table(folder: Path, run: Run) -> None:
    """Write ``results.json`` and ``leaderboard.csv``. Sufficient for a table that is derived from another run."""
    # results.json is last: its presence marks a finished run.
    write_atomically(folder / "leaderboard.csv", _leaderboard(run))
    write_atomically(folder / _RESULTS, run.model_dump_json(indent=1).encode())


def stored_if_equal(run: Run, folder: Path) -> Run:
    """Return the run that is stored in a folder if `run` has the same rows and conditions, and `run` otherwise.

    They may differ in when they began and in what the whole run took: a run that measures nothing is no new one.
    """
    try:
        stored = read_run(folder)
    except ResultsError:
        return run
    of_run = {"created": stored.run.created, "stage_seconds": stored.run.stage_seconds}
    dated = run.model_copy(update={"run": run.run.model_copy(update=of_run)})
    return stored if dated == stored else run


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from every other; None if it is no folder."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def read_measurement(path: Path, fingerprint: str) -> Measurement:
    """Read and check a stored measurement.

    Parameters
    ----------
    path
        Its file.
    fingerprint
        Expected fingerprint. A file that was renamed by hand is rejected.

    Raises
    ------
    ResultsError
        The file is missing or damaged, or is of another submission.
    """
    with reading(path):
        stored = Measurement.model_validate(upgrade(json.loads(path.read_bytes())))
        check_measurement(stored)
    # The file's name is the key; a copied file would stand for a submission that was never measured.
    if stored.fingerprint != fingerprint:
        raise ResultsError("is of another submission", where=str(path), hint="do not rename stored measurements")
    return stored


def _read_or_none(path: Path, fingerprint: str) -> Measurement | None:
    try:
        return read_measurement(path, fingerprint)
    except ResultsError:
        return None


def read_run(path: Path) -> Run:
    """Read a run's ``results.json``.

    Parameters
    ----------
    path
        Folder of the run, or the file itself.

    Returns
    -------
    Run
        The run; files of older readable schema versions are upgraded.

    Raises
    ------
    UsageError
        The path is of a file that holds no results.
    ResultsError
        The file is missing, is not JSON, has an unsupported schema version, or does not match the schema.
    """
    file = path / _RESULTS if path.is_dir() else path
    try:
        raw = json.loads(file.read_bytes())
    except OSError as error:
        raise ResultsError(
            "there are no results here",
            where=str(path),
            hint="name the folder of a finished run, with its results.json",
        ) from error
    except (ValueError, RecursionError) as error:
        if file.name != _RESULTS:
            raise _other_file(file) from error
        raise ResultsError(
            f"is not JSON ({error})", where=str(file), hint="run it again; stored measurements are reused"
        ) from error
    # Looked at before the schema, which would refuse files of another version with confusing messages.
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version is None and file.name != _RESULTS:
        raise _other_file(file)
    if version not in READABLE_VERSIONS:
        raise ResultsError(
            f"has schema version {version!r}, but this release reads {' and '.join(map(str, READABLE_VERSIONS))}",
            where=str(file),
            hint="use the release that wrote it, or run it again",
        )
    with reading(file):
        run = Run.model_validate(upgrade(raw))
        check_run(run)
    return run


def _other_file(file: Path) -> UsageError:
    hint = "name the folder of a finished run, or its results.json"
    return UsageError("is not a file of results", where=str(file), hint=hint)


def _layers(measurement: Measurement) -> bytes:
    """Serialize the layers as a JSON list with one layer per line."""
    lines = ",\n".join(layer.model_dump_json() for layer in measurement.layers)
    return f"[\n{lines}\n]\n".encode()


def _per_image(measurements: Mapping[str, Measurement]) -> bytes:
    """Return the quality of all images as CSV; additional conventions are columns such as ``psnr_y_matlab``."""
    images = [(slug, image) for slug, measurement in measurements.items() for image in measurement.images]
    others = sorted({name for _, image in images for name in image.conventions})

    def figures(image: ImageQuality) -> list[float | None]:
        # The image itself holds the figures by the run's own convention.
        by_convention = [image, *map(image.conventions.get, others)]
        return [None if f is None else float(getattr(f, key)) for f in by_convention for key in MEASURES]

    header = ["slug", "image", *MEASURES, *(f"{measure}_{name}" for name in others for measure in MEASURES)]
    return _table(header, ([slug, image.image, *figures(image)] for slug, image in images))


def _leaderboard(run: Run) -> bytes:
    """Return the rows with unscaled figures; the runtime is the one that the score uses."""
    columns = shown_in("csv", run)
    header = [*_IDENTITY, *(column.name for column in columns), "backend", "error", "lower_bounds"]

    def cells(entry: Entry) -> list[object]:
        identity = [getattr(entry, name) for name in _IDENTITY]
        figures = [column.value(entry, run.protocol.statistic) for column in columns]
        error = f"{entry.error.stage}: {entry.error.message}" if entry.error else None
        return [*identity, *figures, entry.backend, error, lower_bounds(entry)]

    return _table(header, map(cells, run.entries))


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    # Names and messages come from submissions: a spreadsheet would execute those that begin like a formula.
    writer.writerows([spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue().encode()
