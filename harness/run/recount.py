"""Count a submission's network again, in a process that executes none of the submission's code.

What a submission's own process reports of its parameters and operations is a claim. Here its process exports the
network as a graph (``torch.export``), a clean worker loads that graph with all that could execute code refused, counts
it, and upscales an image that the submission has upscaled for its score. Only a graph that gives the same image counts.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.engines import Job, Opener
from harness.errors import WorkerError
from harness.isolation.exported_files import export_graph
from harness.isolation.requests import CountReply
from harness.isolation.session import Session
from harness.results import Measurement
from harness.results.measurement import CountPart
from harness.results.record import Backend
from harness.run.plan import Plan
from harness.run.stages import InputShape
from harness.run.submission_worker import SubmissionWorker
from harness.submissions.loaders import PREFIX
from harness.submissions.manifest import Manifest
from harness.submissions.submission import Submission

Image = NDArray[np.uint8]

LEAST_PSNR = 45.0
"""Levels of both images differ by rounding only: dB. Half precision rounds each layer."""
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Recount:
    """Counts of a network from a process without submitted code.

    Attributes
    ----------
    counts
        None if it could not be counted.
    reason
        Why not.
    """

    counts: CountReply | None
    reason: str = ""


def asks_for_recount(plan: Plan, measurement: Measurement) -> bool:
    """Return whether the user asked for a recount and submitted code could have forged the counts."""
    return plan.request.recount and measurement.counted_by == "process"


def recounted(
    measurement: Measurement, worker: SubmissionWorker, engine: Opener, image: tuple[Image, Image]
) -> Measurement:
    """Let a submission's worker export its network, count that graph elsewhere, and return the new measurement.

    Raises
    ------
    WorkerError
        The submission's worker ends.
    """
    try:
        graph = export_graph(worker.running)
    except WorkerError as error:
        # An export that fails leaves the counts as reported; a worker that died must end the submission.
        if not worker.running.alive():
            raise
        return updated(measurement, Recount(None, error.what[:300]))
    return updated(measurement, recount(engine, worker.job(), graph, image, worker.plan.track.input_shape))


def recount(engine: Opener, job: Job, graph: bytes, image: tuple[Image, Image], shape: InputShape) -> Recount:
    """Load a graph in a clean worker, check that it computes an image, and count it.

    Parameters
    ----------
    engine
        Starts the worker.
    job
        How the submission's own worker was started.
    graph
        What that worker exported. It is not opened in this process.
    image
        An LR image and the output of the submission, H x W x 3, uint8.
    shape
        N, C, H, W of the input for which operations are counted.
    """
    try:
        with graph_worker(engine, job, graph) as session:
            psnr = image_psnr(session.upscale(image[0]), image[1])
            counts = session.count(shape)
    except WorkerError as error:
        return Recount(None, f"its graph cannot be used ({error.what[:300]})")
    # A graph of another network would have any counts. This one computes what was scored.
    if psnr < LEAST_PSNR:
        return Recount(None, f"its graph computes another image (PSNR {psnr:.1f} dB between the two)")
    return Recount(counts)


@contextmanager
def graph_worker(engine: Opener, job: Job, graph: bytes, backend: Backend = "eager") -> Iterator[Session]:
    """Load a graph in a worker that executes none of the submission's code, and end the worker afterwards.

    Parameters
    ----------
    engine
        Starts the worker.
    job
        How the submission's own worker was started.
    graph
        What that worker exported. It is not opened in this process.
    backend
        How the graph is executed.
    """
    with tempfile.TemporaryDirectory(prefix="sr-harness-graph-") as folder:
        Path(folder, "network.pt2").write_bytes(graph)
        Path(folder).chmod(0o755)  # the worker may be another user
        clean = replace(
            # No interpreter of the submission's environment, no pickles, no log: nothing of the submission but its
            # graph.
            job, submission=_submission(Path(folder), job), backend=backend, log_path=None, process=0, python=None,
            trust_pickle=False,
        )  # fmt: skip
        with engine.open(clean) as session:
            session.load()
            yield session


def updated(measurement: Measurement, found: Recount) -> Measurement:
    """Return the measurement with the counts of the clean process, or with a note that there are none."""
    counts = found.counts
    if counts is None:
        # `counted_by` stays "process".
        note = f"parameters and operations are what its own process reports: {found.reason}"
        return measurement.model_copy(update={"notes": [*measurement.notes, note]})
    notes = ["parameters and operations were counted in a process without its code, from a graph that gives its images"]
    # Counts that cannot be taken from the graph keep the reported figure.
    names = ["params", *(name for name in ("macs", "activations") if getattr(counts, name) is not None)]
    differing = [name for name in names if _differ(getattr(measurement, name), getattr(counts, name))]
    warnings = [f"its process reports {name} {getattr(measurement, name)}, its graph has {getattr(counts, name)}"
                for name in differing]  # fmt: skip
    part = CountPart(**{name: getattr(counts, name) for name in names}, counted_by="graph")
    changed = measurement.updated(part)
    return changed.model_copy(
        update={"notes": [*measurement.notes, *notes, *warnings], "warnings": [*measurement.warnings, *warnings]}
    )


def _submission(folder: Path, job: Job) -> Submission:
    own, scale = job.submission.manifest, job.scale
    manifest = Manifest(
        name="graph",
        scales=[scale],
        # A loader of the harness, so that no code of the submission is imported.
        factory=f"{PREFIX}torch_export",
        weights={f"x{scale}": "network.pt2"},
        value_range=own.value_range,
        size_multiple=own.size_multiple,
        reparameterize="none",
    )
    return Submission("graph", "graph", "submission", folder, manifest, "file")


def _differ(reported: int | None, counted: int) -> bool:
    return reported is None or not math.isclose(reported, counted, rel_tol=_TOLERANCE)


def image_psnr(one: Image, other: Image) -> float:
    """Return the PSNR of one image against another, dB."""
    difference: Sequence[float] = (one.astype(np.float64) - other).ravel()  # type: ignore[assignment]
    error = float(np.mean(np.square(difference)))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
