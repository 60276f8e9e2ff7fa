"""CUDA graphs: the launches of one forward pass, recorded once and replayed as one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.backends.runner import DEFAULT_SETTINGS, RunnerSettings, refusal

_CALLS_BEFORE = 3  # on a side stream: libraries choose kernels and allocate their workspaces in the first calls
_GRAPHS = 2  # each holds all feature maps of its size: the timed one, and the last other one


@dataclass(frozen=True, slots=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    given: Tensor
    output: Tensor


class CudaGraph:
    """A network whose kernels are replayed; the timed window holds the replay alone.

    A graph reads its input from where it was recorded: `ready` copies the frame there, as it brings it to the device in
    the other backends.
    """

    layout = None

    def __init__(self, network: nn.Module, _settings: RunnerSettings = DEFAULT_SETTINGS) -> None:
        self.network = network
        self._recordings: OrderedDict[torch.Size, _Recording] = OrderedDict()
        self._main_size: torch.Size | None = None
        self._current: _Recording | None = None

    def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
        """Record the network at the frame's size where there is no recording; return the recording's own input."""
        if main:
            self._main_size = frame.shape
        recording = self._recordings.get(frame.shape)
        if recording is None:
            try:
                recording = self._record(frame)
            except Exception as error:
                raise refusal("cuda-graph", error) from error
            self._keep(frame.shape, recording)
        recording.given.copy_(frame)
        self._current = recording
        return recording.given

    def __call__(self, frame: Tensor) -> Tensor:
        """Replay the recording whose input `ready` returned."""
        recording = self._current
        if recording is None or frame is not recording.given:
            raise RuntimeError("a recorded network reads the tensor that `ready` returned, no other")
        recording.graph.replay()
        return recording.output

    def _record(self, frame: Tensor) -> _Recording:
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
        self._recordings[size] = recording
        others = [known for known in self._recordings if known not in (self._main_size, size)]
        for known in others[: max(0, len(self._recordings) - _GRAPHS)]:
            del self._recordings[known]
