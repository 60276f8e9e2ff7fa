"""The network of a submission on its device, in its precision and its backend."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.backends.runner import Runner, RunnerSettings, make_runner
from harness.complexity.copying import copied, frozen
from harness.complexity.input_size import rounded_up
from harness.errors import UnsupportedError, WorkerError
from harness.isolation.requests import LoadRequest
from harness.results.schema import FormName
from harness.worker.frames import Image, to_input
from harness.worker.inputs import GivenFrames

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class MeasuredNetwork:
    """A loaded network together with the runner that executes it.

    Parameters
    ----------
    settings
        The request that loaded the network.
    network
        The network as loaded: float32, on the CPU.
    size_multiple
        Height and width of inputs are padded to multiples of this.

    Attributes
    ----------
    original
        The network as loaded.
    form
        The measured form, float32, on the CPU: `original` until an inference form replaces it.
    forms
        What the reparameterization made, by name; empty before it.
    """

    def __init__(self, settings: LoadRequest, network: nn.Module, size_multiple: int) -> None:
        self.settings = settings
        self.original = self.form = network
        self.size_multiple = size_multiple
        self.forms: dict[FormName, nn.Module] = {}
        self._runner: Runner | None = None
        self._given: GivenFrames | None = None

    def replace_form(self, network: nn.Module) -> None:
        """Replace the measured form and discard the runner."""
        self.form = network
        self._runner = self._given = None

    def form_called(self, name: FormName) -> nn.Module:
        """Return one of the forms.

        Raises
        ------
        WorkerError
            The reparameterization made none of that name.
        """
        forms = {"loaded": self.original, **self.forms}
        if name not in forms:
            raise WorkerError(f"there is no form {name!r}", stage="reparameterize", kind="NoForm")
        return forms[name]

    def runner(self) -> Runner:
        """Return the runner of the network on its device, in its precision and backend; created at the first call."""
        if self._runner is None:
            settings = self.settings
            with torch.inference_mode(mode=False):  # exporters and compilers reject inference tensors
                # A copy, because counting and reparameterization need the float32 network on the CPU.
                network = frozen(moved(self._copy(), settings.device, DTYPES[settings.precision]))
                options = RunnerSettings(self.size_multiple, settings.threads)
                self._runner = make_runner(network, self._backend(), settings.device, options)
        return self._runner

    def _copy(self) -> nn.Module:
        """Return a copy of the form, or the form itself if its class does not allow a copy.

        It is then converted in place. Counting and reparameterization are done when the runner is made.
        """
        try:
            return copied(self.form)
        except Exception:  # noqa: BLE001 -- __deepcopy__ of submitted classes may raise anything
            return self.form

    def given_frames(self) -> GivenFrames:
        """Return the object that places frames into the runner's input tensors."""
        if self._given is None:
            self._given = GivenFrames(self.runner())
        return self._given

    def release_inputs(self) -> None:
        """Free what inputs of other sizes needed. To be called while there is no frame."""
        if self._given is not None:
            self._given.release()

    def memory_form(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Return the function whose memory is measured, and the function that prepares its input."""
        runner = self.runner()
        # Replaying a graph allocates nothing. The memory that the graph holds equals the peak of eager execution.
        if self.settings.backend == "cuda-graph":
            return runner.network, self.place
        return runner, lambda frame: runner.ready(self.place(frame))

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of a frame after padding."""
        return rounded_up(height, self.size_multiple), rounded_up(width, self.size_multiple)

    def to_input(self, frame: Image) -> Tensor:
        """Convert a frame (H x W x 3, uint8) to the network's input, 1 x 3 x H' x W', float32, padded, on the CPU."""
        return to_input(frame, self.settings.value_range, self.size_multiple)

    def place(self, frame: Tensor) -> Tensor:
        """Return an input on the network's device and in its precision."""
        return frame.to(self.settings.device, DTYPES[self.settings.precision])

    def _backend(self) -> str:
        """Return the backend of the runner. It is eager for an ONNX file, which already runs in ONNX Runtime."""
        backend = self.settings.backend
        if not is_onnx_file(self.form):
            return backend
        if backend not in ("eager", "onnxruntime"):
            raise UnsupportedError(
                f"an ONNX file cannot be run with backend {backend}", hint="measure it with --backend onnxruntime"
            )
        return "eager"


def is_onnx_file(network: nn.Module) -> bool:
    """Return whether the network is an ONNX file, which ONNX Runtime executes regardless of the backend."""
    from harness.worker.loaders.onnx_file import OnnxNetwork

    return isinstance(network, OnnxNetwork)


def moved(network: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """Move a network; submitted classes override ``to``, in places with fewer arguments than torch's."""
    try:
        return network.to(device, dtype)
    except TypeError:
        return nn.Module.to(network, device, dtype)
