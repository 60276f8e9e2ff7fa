"""A submission's network as it is measured: in its form, on its device, in its precision and its backend."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.backends.runner import Runner, RunnerSettings, make_runner
from harness.complexity.input_size import rounded_up
from harness.errors import UnsupportedError
from harness.isolation.requests import LoadRequest
from harness.worker.frames import Image, to_input
from harness.worker.inputs import GivenFrames

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class MeasuredNetwork:
    """A loaded network, and the same network brought to where it runs.

    Parameters
    ----------
    settings
        The request that loaded it.
    network
        As loaded: float32, on the CPU.
    size_multiple
        What height and width of an input must be multiples of.

    Attributes
    ----------
    original
        The network as loaded.
    form
        The form that is measured, float32, on the CPU: `original` until it is replaced by an inference form.
    """

    def __init__(self, settings: LoadRequest, network: nn.Module, size_multiple: int) -> None:
        self.settings = settings
        self.original = self.form = network
        self.size_multiple = size_multiple
        self._runner: Runner | None = None
        self._given: GivenFrames | None = None

    def replace_form(self, network: nn.Module) -> None:
        """Measure another form from now on."""
        self.form = network
        self._runner = self._given = None

    def runner(self) -> Runner:
        """Return the network on its device, in its precision and its backend; it is brought there once."""
        if self._runner is None:
            settings = self.settings
            with torch.inference_mode(mode=False):  # exporters and compilers do not take what is made inside
                # A copy, because counting and reparameterizing need the float32 network on the CPU.
                network = copy.deepcopy(self.form).to(settings.device, DTYPES[settings.precision]).eval()
                options = RunnerSettings(self.size_multiple, settings.threads)
                self._runner = make_runner(network, self._backend(), settings.device, options)
        return self._runner

    def given_frames(self) -> GivenFrames:
        """Return what gives frames to the runner."""
        if self._given is None:
            self._given = GivenFrames(self.runner())
        return self._given

    def memory_form(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Return what is called to measure memory, and what brings a frame to it."""
        runner = self.runner()
        if self.settings.backend == "cuda-graph":  # a replay allocates nothing: what it holds is the eager peak
            return runner.network, self.place
        return runner, lambda frame: runner.ready(self.place(frame))

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the sides that a frame of this size is padded to."""
        return rounded_up(height, self.size_multiple), rounded_up(width, self.size_multiple)

    def to_input(self, frame: Image) -> Tensor:
        """Return a frame H x W x 3, uint8, as the network takes it: 1 x 3 x H x W, float32, on the CPU, padded."""
        return to_input(frame, self.settings.value_range, self.size_multiple)

    def place(self, frame: Tensor) -> Tensor:
        """Return an input on the device, in the precision that is measured."""
        return frame.to(self.settings.device, DTYPES[self.settings.precision])

    def _backend(self) -> str:
        """Return the backend to bring the network into; an ONNX file is run by ONNX Runtime and nothing else."""
        backend = self.settings.backend
        if not is_onnx_file(self.form):
            return backend
        if backend not in ("eager", "onnxruntime"):
            raise UnsupportedError(
                f"an ONNX file cannot be run with backend {backend}", hint="measure it with --backend onnxruntime"
            )
        return "eager"


def is_onnx_file(network: nn.Module) -> bool:
    """Tell whether ONNX Runtime executes the network, whatever the backend."""
    from harness.worker.loaders.onnx_file import OnnxNetwork

    return isinstance(network, OnnxNetwork)
