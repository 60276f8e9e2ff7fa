"""Backend ``cuda-graph``: the kernels of a forward pass are captured once and replayed with a single launch."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.backends.runner import DEFAULT_SETTINGS, RunnerSettings, refusal

_CALLS_BEFORE = 3  # warm-up calls, in which libraries select kernels and allocate workspaces
_GRAPHS = 2  # graphs of the timed size and of the most recent other size


@dataclass(frozen=True, slots=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    given: Tensor
    output: Tensor


class CudaGraph:
    """Network whose kernels are replayed from a CUDA graph; only the replay is timed.

    A graph reads its input from the memory that was used during capture. `ready` copies the frame to this memory, which
    is not timed.
    """

    layout = None

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
        self.network = network
        self._recordings: OrderedDict[torch.Size, _Recording] = OrderedDict()
        self._main_size: torch.Size | None = None
        self._current: _Recording | None = None

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
        """Capture the network at the size of the frame, if necessary, and return the graph's input with the frame."""
        if main:
            self._main_size = frame.shape
        recording = self._recordings.get(frame.shape)
        if recording is None:
            try:
                recording = self._record(frame)
            except Exception as error:
                raise refusal("cuda-graph", error) from error
            self._keep(frame.shape, recording)
        # A graph reads fixed addresses, so that the frame is copied to where it was recorded.
        recording.given.copy_(frame)
        self._current = recording
        return recording.given

    def __call__(self, frame: Tensor) -> Tensor:
        """Replay the graph whose input `ready` returned."""
        recording = self._current
        if recording is None or frame is not recording.given:
            raise RuntimeError("a recorded network reads the tensor that `ready` returned, no other")
        recording.graph.replay()
        return recording.output

    def _record(self, frame: Tensor) -> _Recording:
        # Warm up on a side stream before the capture, as PyTorch's notes on CUDA graphs require.
        given = frame.clone()
        aside = torch.cuda.Stream(frame.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(frame.device))
        with torch.cuda.stream(aside):
            for _ in range(_CALLS_BEFORE):
                self.network(given)
        torch.cuda.current_stream(frame.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = self.network(given)
        return _Recording(graph, given, output)

    def _keep(self, size: torch.Size, recording: _Recording) -> None:
        # Each graph reserves the memory of all its feature maps, so drop the oldest ones but never that of the timed
        # size.
        self._recordings[size] = recording
        others = [known for known in self._recordings if known not in (self._main_size, size)]
        for known in others[: max(0, len(self._recordings) - _GRAPHS)]:
            del self._recordings[known]
