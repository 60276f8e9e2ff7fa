"""Stages that ask a worker one or two questions and return the answers as one part of a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.exported_files import export_graph
from harness.isolation.requests import CountReply, EmptyReply, GrowHeapRequest, LayerReply
from harness.isolation.session import Session
from harness.results.measurement import CountPart, Layer, LoadPart
from harness.results.record import Backend, CountedBy
from harness.submissions.loaders import PREFIX
from harness.submissions.submission import Submission
from harness.text import printable

BREACHES = (DISQUALIFIED, "ProtocolError")
"""Kinds of WorkerError that end a submission in every stage."""
Metric = Literal["psnr_rgb", "psnr_y"]
InputShape = tuple[int, int, int, int]


def load(
    session: Session, wanted: Backend, installed: Sequence[str], metric: Metric = "psnr_y"
) -> tuple[LoadPart, int]:
    """Build the network.

    Parameters
    ----------
    session
        A worker that was just started.
    wanted
        The run's backend. A network that runs on another one, such as an ONNX file, is not ranked with the others.
    installed
        Packages that were installed for the submission.
    metric
        Quality metric of the track. A network that upscales Y alone is measured by tracks that score Y only.

    Returns
    -------
    tuple
        What is known of the network, and the multiple to which it pads its input.

    Raises
    ------
    WorkerError
        The network cannot be loaded, or upscales Y alone where RGB is scored.
    """
    reply = session.load()
    # Its colours would be interpolated, and RGB figures would mostly show the interpolation.
    if reply.takes_luma and metric == "psnr_rgb":
        raise WorkerError(
            "upscales Y only, and this track scores RGB",
            stage="load",
            kind="UnsupportedError",
            hint="measure it by a track that scores PSNR on Y (harness tracks)",
        )
    notes = [f"installed for it: {', '.join(installed)}"] if installed else []
    # Files such as ONNX models bring their own execution, whatever the run asks for.
    if reply.backend != wanted:
        notes.append(
            f"executed by backend {reply.backend}, so not ranked among networks of backend {wanted}: "
            f"--backend {reply.backend} ranks all alike"
        )
    part = LoadPart(
        has_weights=reply.weights,
        backend=reply.backend,
        notes=[*notes, *reply.notes],
        params=reply.params_before,
        isolation=session.isolation,
    )
    return part, reply.size_multiple


def vouched_for(submission: Submission) -> CountedBy:
    """Return who vouches for the counts of a submission as long as no other process has counted it."""
    # Loaders of the harness build the network from a file, so that no submitted code runs in the process that counts.
    own = submission.kind == "baseline" or submission.manifest.factory.startswith(PREFIX)
    return "harness" if own else "process"


def count(session: Session, input_shape: InputShape, counted_by: CountedBy = "process") -> tuple[CountPart, str]:
    """Count parameters and operations of the form that is timed, and return them with a remark, which may be empty.

    `counted_by` says who vouches for what is returned.
    """
    reply = session.count(input_shape)
    # Figures that have the same name in the reply and in the record.
    figures = {name: getattr(reply, name) for name in CountPart.model_fields.keys() & CountReply.model_fields.keys()}
    figures["layers"] = [_layer(layer) for layer in reply.layers]
    return CountPart(**figures, macs_source=reply.source, counted_by=counted_by), reply.note


def grow_heap(session: Session, size_bytes: int) -> None:
    """Let a worker's heap grow by so many bytes on a CPU, so that its calls do not wait for pages of memory."""
    session.checked.ask("grow_heap", GrowHeapRequest(size_bytes=size_bytes), EmptyReply)


def peak_memory(session: Session, size: tuple[int, int] | None = None) -> tuple[int | None, list[str]]:
    """Return the peak memory of one forward pass, and why it is unknown if the network cannot be measured so.

    Parameters
    ----------
    session
        A worker with a network.
    size
        Height and width of the frame; None for the last timed size.

    Raises
    ------
    WorkerError
        The worker has ended, or the submission broke the rules.
    """
    try:
        return session.memory(size), []
    except WorkerError as error:
        if error.kind in BREACHES or not session.alive():
            raise
        return None, [f"peak memory not measured: {error.what}"]


def graph(session: Session) -> tuple[bytes | None, str]:
    """Return the network as its worker exports it, and why there is none if it cannot be exported.

    Raises
    ------
    WorkerError
        The worker has ended.
    """
    try:
        return export_graph(session), ""
    except WorkerError as error:
        if not session.alive():
            raise
        return None, error.what[:300]


def _layer(reply: LayerReply) -> Layer:
    # Names of modules are the submission's text.
    words = {field: printable(getattr(reply, field), 300) for field in ("name", "type", "settings")}
    return Layer(**{**dict(reply), **words})
