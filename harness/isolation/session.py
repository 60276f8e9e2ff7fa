"""The controller's side of one submission: asks a worker for each step and believes nothing unchecked.

The controller never imports submitted code. Whatever goes wrong in a worker, exception, crash, hang or an invalid
reply, arrives here as one :class:`harness.errors.WorkerError` that says at which stage.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from harness.errors import WorkerError
from harness.isolation.launcher import Worker, describe_end
from harness.isolation.messages import Array, ChannelClosed, DeadlinePassed, Message, ProtocolError
from harness.isolation.processes import continue_tree, cpu_seconds, process_tree, stop_tree
from harness.isolation.requests import (
    Body,
    CeilingsReply,
    CeilingsRequest,
    CountReply,
    CountRequest,
    EmptyReply,
    ErrorReply,
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
ReplyT = TypeVar("ReplyT", bound=BaseModel)

_MAX_EXPORT_BYTES = 1 << 30

_CALLS_A_DEADLINE = 10  # where a protocol has no budget
_GRACE_S = 2.0  # for a worker to end by itself


class Exchange(Protocol):
    """Carries one request to where a submission runs and brings the reply back."""

    isolation: str
    """What the submission is confined by, in words for the report."""

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Return the reply; raises WorkerError."""
        ...

    def log_tail(self) -> str:
        """Return the last of what the submission printed."""
        ...

    def alive(self) -> bool:
        """Tell whether it still runs."""
        ...

    def pause(self) -> None:
        """Stop it until the next request."""
        ...

    def cpu_s(self) -> float | None:
        """Return the processor time that it took so far, seconds; None where nobody can tell."""
        ...

    def idle_cores(self, settling_s: float, length_s: float) -> float | None:
        """Let it go without giving it work, and return how many cores it keeps busy; None where nobody can tell."""
        ...

    def close(self) -> None:
        """End it and release everything."""
        ...


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
    def isolation(self) -> str:
        """What the submission is confined by."""
        return self.exchange.isolation

    def load(self) -> LoadReply:
        """Build the network."""
        return self._ask("load", self.job, LoadReply)

    def reparameterize(self, frames: Sequence[Image], *, allow_border_error: bool = False) -> Reparam:
        """Turn the training form into the inference form, compared on `frames` (H x W x 3, uint8)."""
        request = ReparameterizeRequest(allow_border_error=allow_border_error)
        reply = self._ask("reparameterize", request, ReparamReply, frames)
        notes = [printable(note, 2000) for note in reply.notes]
        return Reparam(**{**dict(reply), "method": printable(reply.method, 500), "notes": notes})

    def export(self, name: str, *, onnx: bool = False) -> dict[str, bytes]:
        """Return the files of a submission that is the timed form in plain torch, by relative path."""
        paths = {"submission.toml", "arch.py", f"weights/x{self.job.scale}.safetensors"}
        if onnx:
            paths.add(f"x{self.job.scale}.onnx")
        request = ExportRequest(name=name, onnx=onnx)
        message = self._exchange("export", request, [], 0.0, max_payload=_MAX_EXPORT_BYTES)
        reply = self._validate("export", message, ExportReply)
        if set(reply.paths) != paths or len(message.arrays) != len(paths):
            self._refuse("export", "other files than those of a submission")
        if any(array.dtype != np.uint8 or array.ndim != 1 for array in message.arrays):
            self._refuse("export", "files that are not bytes")
        return {path: array.tobytes() for path, array in zip(reply.paths, message.arrays, strict=True)}

    def count(self, input_shape: tuple[int, int, int, int], *, original: bool = False) -> CountReply:
        """Count parameters and operations at one input shape N, C, H, W, of the timed form or of the `original`."""
        return self._ask("count", CountRequest(input_shape=list(input_shape), original=original), CountReply)

    def ceilings(self) -> Ceilings:
        """Measure what the device does at best, with this session's threads and precision; only of trusted code."""
        return Ceilings(**dict(self._ask("ceilings", CeilingsRequest(), CeilingsReply)))

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
        return self._ask("prepare", PrepareRequest(size=list(size), main=main, call=call), PrepareReply).seconds

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
        reply = self._ask("time", request, TimeReply, lr, extra_s=extra_s)
        wall_s = time.monotonic() - begin
        if len(reply.samples_ms) > max(repeats, min_repeats, len(lr)):
            self._refuse("time", f"{len(reply.samples_ms)} samples where {repeats} were asked for")
        total_ms = sum(reply.samples_ms) + sum(reply.warmup_ms)
        if total_ms > wall_s * 1e3:
            self._refuse("time", f"{total_ms / 1e3:.3g} s of samples in {wall_s:.3g} s")
        return reply.model_copy(update={"wall_s": wall_s})

    def output(self, top: int, left: int, height: int, width: int) -> NDArray[np.float32]:
        """Return a part of the last timed call's output: H x W x 3, as levels from 0 to 255, not rounded."""
        request = OutputRequest(top=top, left=left, height=height, width=width)
        message = self._exchange("output", request, [], 0.0, max_payload=3 * 4 * height * width)
        self._validate("output", message, EmptyReply)
        shapes = [(array.dtype, array.shape) for array in message.arrays]
        if shapes != [(np.dtype(np.float32), (3, height, width))]:
            self._refuse("time", f"{shapes} in place of a part of an image")
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
        message = self._exchange("upscale", UpscaleRequest(), [lr], 0.0, max_payload=int(np.prod(shape)))
        self._validate("upscale", message, EmptyReply)
        if len(message.arrays) != 1:
            self._refuse("upscale", f"{len(message.arrays)} arrays in place of one image")
        (image,) = message.arrays
        if image.dtype != np.uint8 or image.shape != shape:
            self._refuse("upscale", f"an image of {image.shape}, {image.dtype}, in place of {shape}, uint8")
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
        return self._ask("memory", request, MemoryReply).peak_bytes

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

    def _ask(
        self,
        name: str,
        request: Body,
        reply: type[ReplyT],
        arrays: Sequence[Array] = (),
        *,
        extra_s: float = 0.0,
    ) -> ReplyT:
        return self._validate(name, self._exchange(name, request, arrays, extra_s, max_payload=0), reply)

    def _exchange(self, name: str, request: Body, arrays: Sequence[Array], extra_s: float, max_payload: int) -> Message:
        message = Message(name, request.model_dump(mode="json"), tuple(arrays))
        reply = self.exchange.request(message, self.timeout_s + extra_s, max_payload)
        if reply.name == "error":
            stage = "time" if name == "output" else name  # outputs are asked for to judge the timing
            self._raise(stage, self._validate(name, reply, ErrorReply))
        if reply.name != name:
            self._refuse(name, f"a reply to {reply.name!r}")
        return reply

    def _validate(self, stage: str, message: Message, kind: type[ReplyT]) -> ReplyT:
        try:
            return kind.model_validate(message.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            self._refuse(stage, f"{place}: {first['msg']}")

    def _raise(self, stage: str, error: ErrorReply) -> NoReturn:
        log = "\n".join(part for part in (self.exchange.log_tail().rstrip(), error.traceback) if part)
        # Again, because a worker may send what `describe` would not.
        kind, message = printable(error.type, 100), printable(error.message, 2000)
        raise WorkerError(message, stage=stage, kind=kind, log=printable(log, 8000, keep_end=True))

    def _refuse(self, stage: str, what: str) -> NoReturn:
        raise WorkerError(
            f"the worker sent {printable(what, 500)}",
            stage=stage,
            kind="ProtocolError",
            log=printable(self.exchange.log_tail(), 8000, keep_end=True),
        )


class WorkerExchange:
    """Requests and replies over a worker's channel; kills the worker where it crashes, hangs or misbehaves."""

    def __init__(self, worker: Worker, isolation: str, log_path: Path | None = None, process: int = 0) -> None:
        self.isolation = isolation
        self._worker = worker
        self._log_path = log_path
        self._process = process
        self._sequence = 0
        self._dead: str | None = None
        self._asked = False
        self._paused: list[int] = []

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Return the reply; raises WorkerError."""
        stage = message.name
        if self._dead:
            raise WorkerError(self._dead, stage=stage, kind="Crash", log=self.log_tail())
        self._asked = True
        self._resume()
        deadline = time.monotonic() + timeout_s
        try:
            self._worker.channel.send(message, self._sequence, deadline)
            reply = self._worker.channel.receive(self._sequence, deadline, max_payload)
        except DeadlinePassed:
            self._fail(stage, "Timeout", f"no answer within {timeout_s:g} s")
        except ChannelClosed:
            self._worker.wait(_GRACE_S)
            self._crashed(stage)
        except ProtocolError as error:
            self._fail(stage, error.kind, error.what)
        self._sequence += 1
        return reply

    def log_tail(self) -> str:
        """Return the last of what the submission printed."""
        return printable(self._worker.log.tail(), 8000, keep_end=True)

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._dead is None and self._worker.alive()

    def pause(self) -> None:
        """Stop the worker and all that it started until the next request."""
        if self._dead is None:
            self._paused = stop_tree(self._worker.process.pid)

    def cpu_s(self) -> float | None:
        """Return the processor time of the worker and of all its descendants, seconds."""
        return cpu_seconds(process_tree(self._worker.process.pid))

    def idle_cores(self, settling_s: float, length_s: float) -> float | None:
        """Let the worker go without a request, and return how many cores it keeps busy; it is stopped afterwards."""
        if self._dead is not None:
            return None
        self._resume()
        time.sleep(settling_s)
        tree = process_tree(self._worker.process.pid)
        before, begin = cpu_seconds(tree), time.monotonic()
        time.sleep(length_s)
        after, spent = cpu_seconds(tree), time.monotonic() - begin
        self.pause()
        return None if before is None or after is None else max(0.0, after - before) / spent

    def _resume(self) -> None:
        continue_tree(self._paused)
        self._paused = []

    def close(self) -> None:
        """Kill the worker with all that it started, and save its log."""
        # Not asked to end by itself: it would leave behind what it detached from itself.
        if self._dead is None:
            self._worker.kill()
        if self._log_path is not None and self._asked:  # what was never used has nothing to say
            with contextlib.suppress(OSError):  # a full disk: what is measured is worth an error, a log is not
                self._worker.log.save(self._log_path, self._process)

    def _crashed(self, stage: str) -> NoReturn:
        excess = self._worker.excess()
        if excess is not None:
            self._fail(stage, *excess)
        self._fail(stage, "Crash", f"the process {describe_end(self._worker.process.poll())}")

    def _fail(self, stage: str, kind: str, what: str) -> NoReturn:
        self._worker.kill()
        self._dead = f"the worker is gone: {what}"
        raise WorkerError(what, stage=stage, kind=kind, log=self.log_tail())
