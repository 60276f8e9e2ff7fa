"""ONNX Runtime on the CPU: the network is exported in the worker, proved equal to itself, and run from there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.backends import onnx_export
from harness.backends.runner import RunnerSettings
from harness.errors import UnsupportedError, WorkerError


class OnnxRuntime:
    """A network in an ONNX Runtime session with the threads that the run allows.

    Height and width are symbolic, so that one session serves all sizes: the one that was compared with the module.
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
        """Return the frame as it is, in one piece."""
        return frame.contiguous()

    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale a frame."""
        (output,) = self._session.run(None, {onnx_export.INPUT: frame.numpy()})
        return torch.from_numpy(output)
