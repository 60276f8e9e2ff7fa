"""ONNX Runtime on the CPU: the network is exported in the worker, proved equal to itself, and run from there."""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import WorkerError

_OPSET = 17
_SIDE = 24  # a multiple of what most networks unshuffle by
_RELATIVE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 0.1}  # of the output's range


class OnnxRuntime:
    """A network in an ONNX Runtime session with the threads that the run allows.

    Height and width are symbolic, so that one session serves all sizes. The session's arena is off: the worker's
    allocator keeps pages anyway, and the peak of a pass can be told.
    """

    def __init__(self, network: nn.Module, *, size_multiple: int, threads: int) -> None:
        self.network = network
        side = math.lcm(size_multiple, _SIDE)
        reference = next(iter(network.parameters()), torch.empty(0))
        self._session = _session(_export(network, _probe(side, 2 * side, reference.dtype)), threads)
        (self._entry,) = (entry.name for entry in self._session.get_inputs())
        self._prove(_probe(2 * side, 3 * side, reference.dtype))

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:  # noqa: ARG002
        """Return the frame as it is, in one piece."""
        return frame.contiguous()

    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale a frame."""
        (output,) = self._session.run(None, {self._entry: frame.numpy()})
        return torch.from_numpy(output)

    def _prove(self, frame: Tensor) -> None:
        """Compare with the module at a size that the export has not seen: a trace may have frozen it."""
        with torch.no_grad():
            theirs, ours = self(frame).float(), self.network(frame).float()
        if theirs.shape != ours.shape:
            _refuse(f"it gives {tuple(theirs.shape)} where the network gives {tuple(ours.shape)}")
        error = float((theirs - ours).abs().max() / ours.abs().max().clamp(min=1e-6))
        if not error <= _RELATIVE[frame.dtype]:
            _refuse(f"it differs from the network by {error:.2g} of the output's largest value")


def _refuse(what: str) -> None:
    raise WorkerError(
        f"the network does not run in lane onnxruntime (the exported graph is not the network: {what})",
        stage="prepare",
        kind="LaneError",
        mend="measure it with --lane eager",
    )


def _probe(height: int, width: int, dtype: torch.dtype) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


def _export(network: nn.Module, frame: Tensor) -> bytes:
    sides = {2: "height", 3: "width"}
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter by tracing needs no further package, and says that it is old
        torch.onnx.export(
            network,
            (frame,),
            stream,  # type: ignore[arg-type]  # a stream is taken by this exporter
            dynamo=False,
            input_names=["frame"],
            output_names=["upscaled"],
            dynamic_axes={"frame": sides, "upscaled": sides},
            opset_version=_OPSET,
        )
    return stream.getvalue()


def _session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
