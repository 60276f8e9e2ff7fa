"""Callable form of a network in a backend, used for timing, for upscaling images and for measuring memory."""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.backends.backend import BACKENDS, backend_problem
from harness.errors import UnsupportedError, WorkerError


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What a backend may need to know besides the network.

    Attributes
    ----------
    size_multiple
        What height and width of an input must be multiples of.
    threads
        Threads of the CPU, for a library that does not follow torch's setting.
    """

    size_multiple: int = 1
    threads: int = 1


DEFAULT_SETTINGS = RunnerSettings()


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

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
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

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
        super().__init__(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:  # noqa: ARG002
        """Return the frame in ``channels_last`` memory format."""
        # Not `frame.contiguous`: the network gets this tensor in each call and may have given it an attribute.
        return Tensor.contiguous(frame, memory_format=torch.channels_last)


def make_runner(
    network: nn.Module, name: str, device: str = "cpu", settings: RunnerSettings = DEFAULT_SETTINGS
) -> Runner:
    """Bring a network into its backend.

    Parameters
    ----------
    network
        On its device, in its precision, in evaluation mode; it is changed.
    name
        The backend.
    device
        Where it is, as torch names it.
    settings
        What the backend may need to know of the network and of the run.

    Raises
    ------
    UnsupportedError
        The machine lacks what the backend needs.
    WorkerError
        The network cannot be brought into this backend.
    """
    backend = BACKENDS.get(name)
    problem = backend_problem(name, device)
    if problem is not None:
        raise UnsupportedError(f"backend {name} {problem[0]}", hint=problem[1])
    try:
        # The implementation is imported here, in a worker, and not where the backend is declared.
        runner: Runner = resolve_name(backend.implementation)(network, settings)
    except (UnsupportedError, WorkerError):
        raise
    except Exception as error:
        raise refusal(name, error) from error
    return runner


def refusal(backend: str, error: BaseException) -> WorkerError:
    """Return the error of a network that a backend cannot take, with the reason in short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Compilers write hundreds of lines, of which the first say what is wrong.
    reason = f"{type(error).__name__}: {' | '.join(lines[:4])[:600]}" if lines else type(error).__name__
    return WorkerError(
        f"the network does not run with backend {backend} ({reason})",
        stage="prepare",
        kind="BackendError",
        hint="measure it with --backend eager",
    )
