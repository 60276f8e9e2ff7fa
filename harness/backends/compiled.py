"""Backend ``compile``: networks compiled by ``torch.compile``, for the timed size and for all other sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.backends.runner import DEFAULT_SETTINGS, RunnerSettings, refusal


class Compiled:
    """Network compiled as a single graph, without graph breaks.

    The timed size is compiled with static shapes, as in a deployment. All other sizes share one program with symbolic
    height and width, so that a data set with many sizes does not cause a compilation for each. A network that exceeds
    torch's limit of recompilations is rejected; there is no fallback to eager execution.
    """

    layout = None

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
        self.network = network
        # Discard programs of other networks in this process, which would count towards the recompilation limit.
        torch._dynamo.reset()

        # Use two functions because torch caches programs per function and checks the most recent one first.
        def at_the_main_size(frame: Tensor) -> Any:
            return network(frame)

        def at_any_size(frame: Tensor) -> Any:
            return network(frame)

        self._main = torch.compile(at_the_main_size, dynamic=False, fullgraph=True)
        self._any = torch.compile(at_any_size, dynamic=True, fullgraph=True)
        self._main_size: torch.Size | None = None
        self._known: set[torch.Size] = set()

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
        """Compile for the size of the frame, by upscaling it once, unless this has been done before."""
        if main and self._main_size is None:
            # This size may have been prepared by the dynamic program; it must be compiled again with static shapes.
            self._main_size = frame.shape
            self._known.discard(frame.shape)
        if frame.shape not in self._known:
            try:
                self(frame)
            except Exception as error:
                raise refusal("compile", error) from error
            self._known.add(frame.shape)
        return frame

    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale a frame."""
        # `ready` was called with the frame, so that the program for its size exists.
        program = self._main if frame.shape == self._main_size else self._any
        output: Tensor = program(frame)
        return output
