"""Backend ``onnxruntime``: the worker exports the network, verifies the export and runs it in ONNX Runtime."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.backends import onnx_export
from harness.backends.runner import RunnerSettings
from harness.errors import UnsupportedError, WorkerError


class OnnxRuntime:
    """Network in an ONNX Runtime session on the CPU, with the number of threads of the run.

    Height and width are dynamic, so that the session that was compared with the network serves all sizes.
    """

    layout = None

    def __init__(self, network: nn.Module, settings: RunnerSettings) -> None:
        self.network = network
        try:
            exported = onnx_export.export(network, size_multiple=settings.size_multiple, threads=settings.threads)
        except UnsupportedError as error:
            raise WorkerError(
                f"the network does not run with backend onnxruntime ({error.what})",
                stage="prepare",
                kind="BackendError",
                hint=f"{error.hint}, or measure it with --backend eager",
            ) from error
        self._session = exported.session

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:  # noqa: ARG002
        """Return the frame as a contiguous tensor, whose memory NumPy can share."""
        return frame.contiguous()

    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale a frame."""
        # None asks for all outputs, of which there is one.
        (output,) = self._session.run(None, {onnx_export.INPUT: frame.numpy()})
        return torch.from_numpy(output)
