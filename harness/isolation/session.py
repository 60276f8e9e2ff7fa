"""The controller's side of one submission: asks a worker for each step and believes nothing unchecked.

The controller never imports submitted code. Whatever goes wrong in a worker, exception, crash, hang or an invalid
reply, arrives here as one :class:`harness.errors.WorkerError` that says at which stage.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.isolation.exchange import CheckedExchange, Exchange
from harness.isolation.requests import (
    CeilingsReply,
    CeilingsRequest,
    CountReply,
    CountRequest,
    EmptyReply,
    ExportReply,
    ExportRequest,
    Inputs,
    LoadReply,
    LoadRequest,
    MemoryReply,
    MemoryRequest,
    OutputRequest,
    PrepareReply,
    PrepareRequest,
    ReparameterizeRequest,
    ReparamReply,
    TimeReply,
    TimeRequest,
    UpscaleRequest,
)
from harness.results.schema import Ceilings, Reparam
from harness.text import printable

Image = NDArray[np.uint8]

_MAX_EXPORT_BYTES = 1 << 30

_CALLS_A_DEADLINE = 10  # where a protocol has no budget


@dataclass(slots=True)
class Session:
    """One submission, loaded and measured step by step; use it as a context manager.

    Every method raises WorkerError, with the stage and the end of the submission's log.
    """

    exchange: Exchange
    job: LoadRequest
    timeout_s: float
    closed: bool = field(default=False, init=False)

    @property
    def _checked(self) -> CheckedExchange:
        return CheckedExchange(self.exchange, self.timeout_s)

    @property
    def isolation(self) -> str:
        """What the submission is confined by."""
        return self.exchange.isolation

    def load(self) -> LoadReply:
        """Build the network."""
        return self._checked.ask("load", self.job, LoadReply)

    def reparameterize(self, frames: Sequence[Image], *, allow_border_error: bool = False) -> Reparam:
        """Turn the training form into the inference form, compared on `frames` (H x W x 3, uint8)."""
        request = ReparameterizeRequest(allow_border_error=allow_border_error)
        reply = self._checked.ask("reparameterize", request, ReparamReply, frames)
        notes = [printable(note, 2000) for note in reply.notes]
        return Reparam(**{**dict(reply), "method": printable(reply.method, 500), "notes": notes})

    def export(self, name: str, *, onnx: bool = False) -> dict[str, bytes]:
        """Return the files of a submission that is the timed form in plain torch, by relative path."""
        paths = {"submission.toml", "arch.py", f"weights/x{self.job.scale}.safetensors"}
        if onnx:
            paths.add(f"x{self.job.scale}.onnx")
        request = ExportRequest(name=name, onnx=onnx)
        message = self._checked.send("export", request, [], 0.0, max_payload=_MAX_EXPORT_BYTES)
        reply = self._checked.validate("export", message, ExportReply)
        if set(reply.paths) != paths or len(message.arrays) != len(paths):
            self._checked.refuse("export", "other files than those of a submission")
        if any(array.dtype != np.uint8 or array.ndim != 1 for array in message.arrays):
            self._checked.refuse("export", "files that are not bytes")
        return {path: array.tobytes() for path, array in zip(reply.paths, message.arrays, strict=True)}

    def count(self, input_shape: tuple[int, int, int, int], *, original: bool = False) -> CountReply:
        """Count parameters and operations at one input shape N, C, H, W, of the timed form or of the `original`."""
        return self._checked.ask("count", CountRequest(input_shape=list(input_shape), original=original), CountReply)

    def ceilings(self) -> Ceilings:
        """Measure what the device does at best, with this session's threads and precision; only of trusted code."""
        return Ceilings(**dict(self._checked.ask("ceilings", CeilingsRequest(), CeilingsReply)))

    def prepare(self, size: tuple[int, int], *, main: bool = True, call: bool = True) -> float:
        """Bring the network to its device and into its backend; return the seconds that took.

        Parameters
        ----------
        size
            Height and width of a frame.
        main
            Whether frames of this size will be timed, so that the backend may build for it in particular.
        call
            Whether it is called, as backends that build something need it.
        """
        return self._checked.ask("prepare", PrepareRequest(size=list(size), main=main, call=call), PrepareReply).seconds

    def time(
        self,
        lr: Sequence[Image],
        warmup: int,
        repeats: int,
        min_repeats: int,
        budget_s: float | None,
        *,
        inputs: Inputs = "fresh",
        keep: bool = True,
    ) -> TimeReply:
        """Time forward passes on the frames `lr` (H x W x 3, uint8; all of one size unless each is used once).

        With `keep`, the last output can be asked for by `output`; of trusted code nobody does.
        """
        request = TimeRequest(
            warmup=warmup,
            repeats=repeats,
            min_repeats=min_repeats,
            budget_s=budget_s,
            inputs=inputs,
            keep=keep,
        )
        begin = time.monotonic()
        calls = min(repeats, len(lr)) if inputs == "dataset" else warmup + max(repeats, min_repeats)
        # Within its budget a model may be slow; beyond it one call gets the usual deadline. Without one, every ten do.
        extra_s = self.timeout_s * (calls - 1) / _CALLS_A_DEADLINE if budget_s is None else budget_s
        reply = self._checked.ask("time", request, TimeReply, lr, extra_s=extra_s)
        wall_s = time.monotonic() - begin
        if len(reply.samples_ms) > max(repeats, min_repeats, len(lr)):
            self._checked.refuse("time", f"{len(reply.samples_ms)} samples where {repeats} were asked for")
        total_ms = sum(reply.samples_ms) + sum(reply.warmup_ms)
        if total_ms > wall_s * 1e3:
            self._checked.refuse("time", f"{total_ms / 1e3:.3g} s of samples in {wall_s:.3g} s")
        return reply.model_copy(update={"wall_s": wall_s})

    def output(self, top: int, left: int, height: int, width: int) -> NDArray[np.float32]:
        """Return a part of the last timed call's output: H x W x 3, as levels from 0 to 255, not rounded."""
        request = OutputRequest(top=top, left=left, height=height, width=width)
        message = self._checked.send("output", request, [], 0.0, max_payload=3 * 4 * height * width)
        self._checked.validate("output", message, EmptyReply)
        shapes = [(array.dtype, array.shape) for array in message.arrays]
        if shapes != [(np.dtype(np.float32), (3, height, width))]:
            self._checked.refuse("time", f"{shapes} in place of a part of an image")
        tile: NDArray[np.float32] = message.arrays[0].transpose(1, 2, 0) * np.float32(255 / self.job.value_range)
        return tile

    def alive(self) -> bool:
        """Tell whether the worker still runs; the next request would fail otherwise."""
        return self.exchange.alive()

    def pause(self) -> None:
        """Stop the worker and all that it started until the next request, so that it cannot disturb another's time."""
        self.exchange.pause()

    def cpu_s(self) -> float | None:
        """Return the processor time that the worker and all that it started took so far, seconds; None if unknown."""
        return self.exchange.cpu_s()

    def idle_cores(self, settling_s: float, length_s: float) -> float | None:
        """Let the worker go without giving it work, and return how many cores it keeps busy; None if unknown.

        Parameters
        ----------
        settling_s
            Wait so long before looking: threads of a pool wait busily for a moment after their work.
        length_s
            Look for so long.
        """
        return self.exchange.idle_cores(settling_s, length_s)

    def upscale(self, lr: Image) -> Image:
        """Upscale one frame, H x W x 3, uint8."""
        height, width, _ = lr.shape
        shape = (height * self.job.scale, width * self.job.scale, 3)
        message = self._checked.send("upscale", UpscaleRequest(), [lr], 0.0, max_payload=int(np.prod(shape)))
        self._checked.validate("upscale", message, EmptyReply)
        if len(message.arrays) != 1:
            self._checked.refuse("upscale", f"{len(message.arrays)} arrays in place of one image")
        (image,) = message.arrays
        if image.dtype != np.uint8 or image.shape != shape:
            self._checked.refuse("upscale", f"an image of {image.shape}, {image.dtype}, in place of {shape}, uint8")
        return image

    def memory(self, size: tuple[int, int] | None = None) -> int | None:
        """Measure the peak memory of one forward pass, bytes; None where it is unknown.

        Parameters
        ----------
        size
            Height and width of the frame; None for the timed size, of which nothing is known before `time`.

        On the CPU it is had from two smaller passes, see `harness.worker.memory`.
        """
        request = MemoryRequest(size=None if size is None else list(size))
        return self._checked.ask("memory", request, MemoryReply).peak_bytes

    def close(self) -> None:
        """End the worker and save its log; never raises for what the submission did."""
        if self.closed:
            return
        self.closed = True
        self.exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
