"""``torch.compile``: one program for the timed size, one for every other size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.backends.runner import DEFAULT_SETTINGS, RunnerSettings, refusal


class Compiled:
    """A network compiled whole, without breaks in its graph.

    The timed size has a program of its own, as a deployment would build it. All other sizes share one with symbolic
    height and width, so that a data set with many sizes does not compile for each. torch refuses a network that
    would need more than its limit of recompilations; nothing falls back to eager execution.
    """

    layout = None

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
        self.network = network
        # What another network of this process left behind would count towards this one's limit.
        torch._dynamo.reset()

        # Two functions, because torch keeps its programs by function and tries the newest first.
        def at_the_main_size(frame: Tensor) -> Any:
            return network(frame)

        def at_any_size(frame: Tensor) -> Any:
            return network(frame)

        self._main = torch.compile(at_the_main_size, dynamic=False, fullgraph=True)
        self._any = torch.compile(at_any_size, dynamic=True, fullgraph=True)
        self._main_size: torch.Size | None = None
        self._known: set[torch.Size] = set()

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
        """Compile for the frame's size by upscaling it once, where that was not done before."""
        if main and self._main_size is None:
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
        program = self._main if frame.shape == self._main_size else self._any
        output: Tensor = program(frame)
        return output
