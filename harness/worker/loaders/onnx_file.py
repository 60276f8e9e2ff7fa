"""Load ONNX models as torch modules whose forward pass runs in ONNX Runtime."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.checkpoint import refuse_lookalikes
from harness.text import first_line


class OnnxNetwork(nn.Module):
    """An ONNX model as a module, on the CPU only.

    The initializers are registered as parameters so that they are counted. Operations cannot be counted, because the
    forward pass runs in ONNX Runtime.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.session = _session(path)
        (entry,) = self.session.get_inputs()
        self.entry_name = entry.name
        self.entry_dtype = torch.float16 if "float16" in entry.type else torch.float32
        for name, values in _initializers(path).items():
            # torch allows no dots in the name of a parameter.
            self.register_parameter(name.replace(".", "_"), nn.Parameter(values, requires_grad=False))

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNetwork:
        """Open the file again, because an inference session cannot be copied."""
        copied = type(self)(self.path).train(self.training)
        memo[id(self)] = copied
        return copied

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N x 3 x H x W on the CPU."""
        if x.device.type != "cpu":
            raise UnsupportedError(
                "an ONNX model is measured on the CPU only", where=self.path.name, hint="--device cpu"
            )
        output = self.session.run(None, {self.entry_name: x.to(self.entry_dtype).numpy()})[0]
        return torch.from_numpy(output).to(x.dtype)


def load(path: Path, scale: int) -> nn.Module:
    """Return the ONNX model at ``path`` as a module.

    Raises
    ------
    UnsupportedError
        ONNX Runtime is not installed, or the model accepts one image size only.
    SubmissionError
        The file is damaged, or does not have exactly one input and one output.
    """
    del scale  # fixed in the exported graph
    return OnnxNetwork(path)


def _session(path: Path) -> Any:
    try:
        onnxruntime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UnsupportedError(
            "needs ONNX Runtime, which is not installed", where=path.name, hint="pip install onnx onnxruntime"
        ) from error
    refuse_lookalikes(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # 3: errors only.
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        line = first_line(str(error))[:200]
        raise SubmissionError(
            f"is no ONNX model that runs here: {line}", where=path.name, hint="export it again"
        ) from error
    _check_interface(session, path)
    return session


def _check_interface(session: Any, path: Path) -> None:
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise SubmissionError(
            f"has {len(session.get_inputs())} inputs and {len(session.get_outputs())} outputs", where=path.name,
            hint="export a model with one image as input and one as output",
        )  # fmt: skip
    sides = session.get_inputs()[0].shape[2:]
    if len(sides) != 2 or any(isinstance(side, int) for side in sides):
        shown = "x".join(map(str, session.get_inputs()[0].shape))
        raise UnsupportedError(
            f"takes inputs of {shown} only", where=path.name, hint="export it with dynamic height and width"
        )


def _initializers(path: Path) -> dict[str, Tensor]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise UnsupportedError(
            "needs the package onnx", where=path.name, hint="pip install onnx onnxruntime"
        ) from error
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in onnx.load(str(path)).graph.initializer}
    return {name: torch.tensor(array) for name, array in arrays.items() if array.dtype.kind == "f" and name}
