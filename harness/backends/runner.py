"""Callable form of a network in a backend, used for timing, for upscaling images and for measuring memory."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from harness.backends.requirements import backend_problem
from harness.errors import UnsupportedError, WorkerError
from harness.results.schema import Backend


class Runner(Protocol):
    """Network in a backend.

    Attributes
    ----------
    network
        The module, on its device and in its precision.
    """

    network: nn.Module

    @property
    def layout(self) -> torch.memory_format | None:
        """Memory format of input frames if each call runs the module's Python code; None if a compiled form runs."""
        ...

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
        """Prepare the backend for the size of a frame, and return the frame in the required form. This is not timed.

        Parameters
        ----------
        frame
            Tensor of shape (1, 3, H, W) on the device and in the precision of the network.
        main
            Whether this size will be timed; the backend may optimize for it.
        """
        ...

    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale the frame that `ready` returned last."""
        ...


class Eager:
    """Network executed by PyTorch without compilation."""

    layout: torch.memory_format = torch.contiguous_format

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:  # noqa: ARG002
        """Return the frame unchanged."""
        return frame

    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale a frame."""
        output: Tensor = self.network(frame)
        return output


class ChannelsLast(Eager):
    """Network executed by PyTorch with weights and input in the ``channels_last`` memory format."""

    layout = torch.channels_last

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:  # noqa: ARG002
        """Return the frame in ``channels_last`` memory format."""
        return frame.contiguous(memory_format=torch.channels_last)


def make_runner(
    network: nn.Module, backend: Backend, *, device: str = "cpu", size_multiple: int = 1, threads: int = 1
) -> Runner:
    """Bring a network into its backend.

    Parameters
    ----------
    network
        On its device, in its precision, in evaluation mode; it is changed.
    backend
        How it is executed.
    device
        Where it is, as torch names it.
    size_multiple
        What the sides of its input must be multiples of.
    threads
        Threads of the CPU for what has threads of its own.

    Raises
    ------
    UnsupportedError
        The machine lacks what the backend needs.
    WorkerError
        The network cannot be brought into this backend.
    """
    problem = backend_problem(backend, device)
    if problem is not None:
        raise UnsupportedError(f"backend {backend} {problem[0]}", hint=problem[1])
    if backend == "eager":
        return Eager(network)
    if backend == "channels_last":
        return ChannelsLast(network)
    try:
        return _built(network, backend, size_multiple, threads)
    except (UnsupportedError, WorkerError):
        raise
    except Exception as error:
        raise refusal(backend, error) from error


def _built(network: nn.Module, backend: Backend, size_multiple: int, threads: int) -> Runner:
    if backend == "compile":
        from harness.backends.compiled import Compiled

        return Compiled(network)
    if backend == "cuda-graph":
        from harness.backends.cuda_graph import CudaGraph

        return CudaGraph(network)
    if backend == "onnxruntime":
        from harness.backends.onnx_runtime import OnnxRuntime

        return OnnxRuntime(network, size_multiple=size_multiple, threads=threads)
    from harness.backends.tensorrt import TensorRT

    return TensorRT(network)


def refusal(backend: Backend, error: BaseException) -> WorkerError:
    """Return the error of a network that a backend cannot take, with the reason in short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {' | '.join(lines[:4])[:600]}" if lines else type(error).__name__
    return WorkerError(
        f"the network does not run with backend {backend} ({reason})",
        stage="prepare",
        kind="BackendError",
        hint="measure it with --backend eager",
    )
