"""Ask a worker for its network as files: those of a new submission, or a graph of ``torch.export``.

The content of the files is untrusted. Their names and number are the controller's.
"""

from __future__ import annotations

import numpy as np

from harness.isolation.requests import EmptyReply, ExportReply, ExportRequest, GraphRequest
from harness.isolation.session import Session

# Largest accepted total size of the files of one network.
_MAX_BYTES = 1 << 30


def export_submission(session: Session, name: str, *, onnx: bool = False) -> dict[str, bytes]:
    """Return the files of a new submission with the timed form in plain torch, by relative path.

    Raises
    ------
    WorkerError
        The network cannot be exported, or the reply is invalid.
    """
    checked = session.checked
    # The worker chooses neither names nor number of the files that the controller writes.
    paths = {"submission.toml", "arch.py", f"weights/x{session.job.scale}.safetensors"}
    if onnx:
        paths.add(f"x{session.job.scale}.onnx")
    message = checked.send("export", ExportRequest(name=name, onnx=onnx), [], 0.0, max_payload=_MAX_BYTES)
    reply = checked.validate("export", message, ExportReply)
    if set(reply.paths) != paths or len(message.arrays) != len(paths):
        checked.refuse("export", "unexpected files")
    if any(array.dtype != np.uint8 or array.ndim != 1 for array in message.arrays):
        checked.refuse("export", "files that are not bytes")
    return {path: array.tobytes() for path, array in zip(reply.paths, message.arrays, strict=True)}


def export_graph(session: Session) -> bytes:
    """Return the timed form as a file of ``torch.export``.

    Raises
    ------
    WorkerError
        The network cannot be exported, or the reply is invalid.
    """
    checked = session.checked
    message = checked.send("graph", GraphRequest(), [], 0.0, max_payload=_MAX_BYTES)
    checked.validate("graph", message, EmptyReply)
    if [(array.dtype, array.ndim) for array in message.arrays] != [(np.dtype(np.uint8), 1)]:
        checked.refuse("graph", "something other than one file")
    return message.arrays[0].tobytes()
