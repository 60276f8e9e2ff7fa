"""``harness reparam``: the inference form of one submission, its speed-up, and its files."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data import get_degradation, open_dataset
from harness.engines import Job, LocalEngine
from harness.errors import UsageError
from harness.isolation.exported_files import export_submission
from harness.isolation.requests import ANALYSIS_LIMIT_S
from harness.isolation.session import Session
from harness.results.schema import Reparam
from harness.submissions.discovery import BrokenSubmission, Submission, discover
from harness.tracks import track_for_scale

TIMED_SIZE = (270, 480)
"""Height and width of the frame on which both forms are timed."""

ROUNDS = 7
"""How often both forms are timed, in turn."""

PROOF_SIZE = (97, 131)
"""Height and width of the crops on which both forms are compared, or smaller if the images are."""


@dataclass(frozen=True, slots=True)
class Collapsed:
    """The inference form of a submission.

    Attributes
    ----------
    name
        The submission's name.
    reparam
        Method, counts, error, regions; MACs are at the track's size.
    speed
        Median time of the training form over that of the inference form; None if both are the same network.
    files
        The inference form as a submission, by relative path; empty unless asked for.
    macs_are_lower_bounds
        Whether the MACs of the training form, and those of the inference form, are only lower bounds.
    """

    name: str
    reparam: Reparam
    speed: float | None
    files: dict[str, bytes]
    macs_are_lower_bounds: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class CollapseRequest:
    """What ``harness reparam`` was asked for.

    Attributes
    ----------
    path
        A submission's folder or zip.
    scale
        Upscaling factor.
    export
        Whether to make the files of the inference form.
    onnx
        Whether an ONNX model is among them.
    allow_border_error
        Also collapse what is equal in the interior of the image only.
    timeout_s
        Seconds that one step may take.
    analysis_limit_s
        Seconds after which the search for regions ends, and likewise a count of operations.
    """

    path: Path
    scale: int
    export: bool = False
    onnx: bool = False
    allow_border_error: bool = False
    timeout_s: float = 300.0
    analysis_limit_s: float = ANALYSIS_LIMIT_S


def collapse_submission(request: CollapseRequest) -> Collapsed:
    """Reparameterize one submission in a worker of its own.

    Raises
    ------
    UsageError
        There is not exactly one submission of that scale at the path.
    WorkerError
        The submission's code fails.
    """
    scale = request.scale
    submission = _only(request.path, scale)
    job = Job(submission, scale, threads=os.cpu_count() or 1, timeout_s=request.timeout_s)
    job = replace(job, analysis_limit_s=request.analysis_limit_s)
    track = track_for_scale(scale)
    with _loaded(job) as session:
        # Odd sizes, so that an error at a border or a stride shows.
        frames = _proof_frames(scale, track.degradation)
        reparam = session.reparameterize(
            frames, allow_border_error=request.allow_border_error, sizes=[track.input_shape[2:]]
        )
        # `count` takes "loaded" for the form before reparameterization, and None for the one in use.
        before, after = (session.count(track.input_shape, form=form) for form in ("loaded", None))
        name = f"{submission.name} (inference form)"
        files = export_submission(session, name, onnx=request.onnx) if request.export else {}
        speed = None if reparam.method == "none" else _speed(job, session)
    reparam = reparam.model_copy(update={"macs_before": before.macs, "macs_after": after.macs})
    bounds = bool(before.incomplete_ops), bool(after.incomplete_ops)
    return Collapsed(submission.name, reparam, speed, files, bounds)


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Write the files of a submission into a folder, which :func:`check_new` has accepted."""
    for relative, content in files.items():
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def check_new(folder: Path) -> None:
    """Check that a folder is new or empty.

    Raises
    ------
    UsageError
        It is not.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("the folder is not empty", where=str(folder), hint="name a new one with -o")


def _only(path: Path, scale: int) -> Submission:
    found = discover([path], entry_points=False)
    if len(found) != 1:
        raise UsageError(f"{len(found)} submissions", where=str(path), hint="name one submission's folder or zip")
    submission = found[0]
    if isinstance(submission, BrokenSubmission):
        raise submission.error
    if scale not in submission.manifest.scales:
        raise UsageError(f"no x{scale} network", where=str(path), hint=f"its scales are {submission.manifest.scales}")
    return submission


@contextmanager
def _loaded(job: Job) -> Iterator[Session]:
    # A session ends its worker when the context ends, also after an exception.
    with LocalEngine().open(job) as session:
        session.load()
        yield session


def _proof_frames(scale: int, degradation: str) -> list[NDArray[np.uint8]]:
    dataset = open_dataset("embedded", scale, get_degradation(degradation))
    height, width = PROOF_SIZE
    frames = [dataset.pair(index)[0] for index in range(min(2, len(dataset)))]
    return [np.ascontiguousarray(frame[:height, :width]) for frame in frames]


def _speed(job: Job, inference: Session) -> float:
    """Time the training form, in a worker of its own, and the inference form in turn."""
    # Noise is enough: only times are compared, and both forms get the same frame.
    frame = np.random.default_rng(0).integers(0, 256, (*TIMED_SIZE, 3), dtype=np.uint8)
    slow: list[float] = []
    fast: list[float] = []
    with _loaded(job) as training:
        for index in range(ROUNDS):
            for session, samples in ((training, slow), (inference, fast)):
                # Warmed up once; taking turns afterwards exposes both forms to the same load.
                reply = session.time([frame], 1 if index == 0 else 0, 1, 1, None)
                samples.extend(reply.samples_ms)
                session.pause()
    return statistics.median(slow) / statistics.median(fast)
