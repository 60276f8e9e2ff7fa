"""Backend ``tensorrt``: one TensorRT engine per input size, built by torch_tensorrt for the whole network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.backends.runner import DEFAULT_SETTINGS, RunnerSettings, refusal

_ENGINES = 2  # those of the timed size and of the most recent other size


class TensorRT:
    """Network as TensorRT engines, in the precision of its weights.

    `ready` builds an engine for each new input size. A network is rejected if a part of it cannot be converted and
    would have to be executed by torch.
    """

    layout = None

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
        self.network = network
        self._engines: OrderedDict[torch.Size, Callable[[Tensor], Tensor]] = OrderedDict()
        self._main_size: torch.Size | None = None

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
        """Build an engine for the size of the frame and call it once, unless there is one already."""
        if main:
            self._main_size = frame.shape
        if frame.shape not in self._engines:
            # Engines are dropped before the new one is built, so that no more than two occupy the memory of the card.
            others = [size for size in self._engines if size != self._main_size]
            for size in others[: max(0, len(self._engines) + 1 - _ENGINES)]:
                del self._engines[size]
            try:
                self._engines[frame.shape] = self._build(frame)
                self(frame)
            except Exception as error:
                raise refusal("tensorrt", error) from error
        return frame

    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale a frame."""
        return self._engines[frame.shape](frame)

    def _build(self, frame: Tensor) -> Callable[[Tensor], Tensor]:
        import torch_tensorrt

        # Clone outside of inference mode to obtain a normal tensor, which tracing requires.
        with torch.inference_mode(mode=False):
            engine: Callable[[Tensor], Tensor] = torch_tensorrt.compile(
                self.network,
                ir="dynamo",
                inputs=[frame.clone()],
                # Explicit typing keeps the precision of the weights. By default, short runs of operators stay in torch.
                use_explicit_typing=True,
                require_full_compilation=True,
                min_block_size=1,
            )
        return engine
