"""TensorRT through torch_tensorrt: one engine for each size, and nothing that stays with torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.backends.runner import DEFAULT_SETTINGS, RunnerSettings, refusal

_ENGINES = 2  # the timed size's, and the last other one


class TensorRT:
    """A network as TensorRT engines in the precision of its weights.

    An engine is built for a size the first time that `ready` sees it. A network of which a part would have to be run
    by torch is refused.
    """

    layout = None

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
        self.network = network
        self._engines: OrderedDict[torch.Size, Callable[[Tensor], Tensor]] = OrderedDict()
        self._main_size: torch.Size | None = None

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
        """Build the engine for the frame's size, and call it once, where there is none."""
        if main:
            self._main_size = frame.shape
        if frame.shape not in self._engines:
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

        with torch.inference_mode(mode=False):
            engine: Callable[[Tensor], Tensor] = torch_tensorrt.compile(
                self.network,
                ir="dynamo",
                inputs=[frame.clone()],
                use_explicit_typing=True,
                require_full_compilation=True,
                min_block_size=1,
            )
        return engine
