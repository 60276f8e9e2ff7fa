"""The ingestion program: executes a submitted network where there is no ground truth.

Codabench runs it in a container with the submission and the LR images. It times the network and keeps the upscaled
images, from which the scoring program computes the quality in another container.
"""

from __future__ import annotations

import shutil
import tempfile
import traceback
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.codabench.record import IMAGES, KEY_FILE, Measured, digests, write_record
from harness.codabench.results_only import contents, kind_of
from harness.codabench.settings import TRACK_FILE, Settings, read_settings, track_of
from harness.data.images import read_rgb, write_png
from harness.errors import HarnessError, SubmissionError, UsageError
from harness.isolation.exposure import exposure
from harness.isolation.sandbox import Sandbox, choose
from harness.pipeline import run
from harness.results.schema import ErrorInfo
from harness.run.plan import RunRequest
from harness.tracks import Track

STAGE = "ingest"
"""Stage of errors before a network is loaded."""
_COMMANDS = ("metadata", "metadata.yaml")
"""Files of a submission that make Codabench execute a command of the participant's beside this program."""


def ingest(program: Path, submission: Path, data: Path, output: Path) -> None:
    """Measure one submission.

    Parameters
    ----------
    program
        Folder of this program, with its settings and the key for signatures, which is deleted before submitted code
        runs.
    submission
        The extracted submission.
    data
        LR images.
    output
        Receives the images and the signed record of a network, or the images and ``readme.txt`` as submitted. What lies
        there was put by the participant and is deleted first.
    """
    _clear(output)
    key = (program / KEY_FILE).read_bytes()
    # Before submitted code runs: who has the key can sign any measurement.
    (program / KEY_FILE).unlink()
    try:
        record = _measure(program, submission, data, output)
    except HarnessError as error:
        record = Measured(error=ErrorInfo(stage=STAGE, type=type(error).__name__, message=str(error)))
    except Exception as error:  # noqa: BLE001 -- whatever happens, the scoring program must learn of it
        # For the organisers, who see what this program prints.
        traceback.print_exc()
        message = f"the ingestion program failed: {type(error).__name__}: {error}"
        record = Measured(error=ErrorInfo(stage=STAGE, type="Fault", message=message))
    # Results have no record: the scoring program reads their images and `readme.txt` directly.
    if record is not None:
        write_record(output, record, key)


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        # A link to a folder is removed itself: what it points to is not ours.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _measure(program: Path, submission: Path, data: Path, output: Path) -> Measured | None:
    """Return what was measured of a network, or None after results have been copied."""
    settings, kind = read_settings(program), kind_of(submission)
    for name in _COMMANDS:
        if (submission / name).exists():
            raise SubmissionError("must not be in a submission", where=name, hint="remove it and submit again")
    if kind not in settings.accepts:
        wanted = {"code": "networks: arch.py and a checkpoint", "results": "images: PNG files and readme.txt"}
        expected = " or ".join(wanted[one] for one in settings.accepts)
        raise SubmissionError(f"the phase {settings.phase!r} does not accept {kind}", hint=f"it takes {expected}")
    if kind == "results":
        # Nothing is executed.
        _copy_results(contents(submission), output)
        return None
    track = track_of(settings, program)
    with tempfile.TemporaryDirectory(prefix="sr-harness-") as name:
        work = Path(name)
        _write_pairs(settings, track, data, work)
        return _run(_request(submission, settings, program, work), output)


def _copy_results(source: Path, output: Path) -> None:
    """Copy the files of a submission of results; links are left out."""
    for path in source.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix.lower() in {".png", ".txt"}:
            target = output / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _run(request: RunRequest, output: Path) -> Measured:
    # Quality in this run is against enlarged LR images and is discarded by the scoring program.
    finished = run(request)
    rows = [entry for entry in finished.run.entries if entry.kind == "submission"]
    # The record and the leaderboard of Codabench have one row per submission.
    if len(rows) != 1:
        names = ", ".join(entry.name for entry in rows)
        raise SubmissionError(f"holds {len(rows)} networks: {names}", hint="submit one network")
    (row,) = rows
    exposed = exposure(choose(request.sandbox))
    if row.status != "ok":
        return Measured(error=row.error, exposure=exposed)
    shutil.copytree(finished.folder / "images" / row.slug, output / IMAGES)
    # The digests bind the images to the signed record, so that they cannot be exchanged afterwards.
    only = finished.run.model_copy(update={"entries": rows, "comparisons": []})
    return Measured(run=only, images=digests(output / IMAGES), exposure=exposed)


def _write_pairs(settings: Settings, track: Track, data: Path, work: Path) -> None:
    """Write data sets whose HR images are enlarged LR images: a run needs pairs, and no ground truth is here."""
    for dataset in settings.datasets:
        for name in dataset.images:
            lr = read_rgb(data / dataset.folder / f"LR_x{track.scale}" / f"{name}.png")
            write_png(work / dataset.folder / f"LR_x{track.scale}" / f"{name}.png", lr)
            write_png(work / dataset.folder / "HR" / f"{name}.png", _enlarged(lr, track.scale))


def _enlarged(lr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


def dataset_names(settings: Settings, track: Track, folder: Path) -> list[str]:
    """Return the data sets in a folder as the option ``--dataset`` names them."""
    roles = {role.role for role in track.datasets}
    return [
        # A label that is no role was made of the name of the folder, and is made of it again.
        f"{one.label}={folder / one.folder}" if one.label in roles else str(folder / one.folder)
        for one in settings.datasets
    ]


def _confinement(sandbox: Sandbox) -> Sandbox:
    """Return how the network is isolated.

    Bubblewrap does not work in most containers. The container is a sandbox of its own, without ground truth and without
    other submissions, so that ``auto`` accepts a process with limits in it, also as root.
    """
    if sandbox != "auto":
        return sandbox
    try:
        return choose("auto").confinement
    except UsageError:
        return "process"


def _request(submission: Path, settings: Settings, program: Path, work: Path) -> RunRequest:
    track = track_of(settings, program)
    first, *further = dataset_names(settings, track, work)
    how = settings.measuring
    return RunRequest(
        submissions=(submission,),
        track=str(program / TRACK_FILE) if settings.track == TRACK_FILE else settings.track,
        dataset=first,
        further_datasets=tuple(further),
        # In the temporary folder, so that nothing of it is left in the container.
        out=work / "run",
        with_baselines=False,
        device=how.device,
        threads=how.threads,
        protocol=how.protocol,
        time_budget_s=how.time_budget_s,
        processes=how.processes,
        timeout_s=how.timeout_s,
        sandbox=_confinement(how.sandbox),
        trust_pickle=how.trust_pickle,
        # Crops would show no ground truth; the whole outputs are scored by the other program.
        images="none",
        save_images=True,
        command="harness.codabench.ingestion",
    )
