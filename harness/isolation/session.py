"""The controller's interface to one submission: one method per request, with validated replies.

The controller never imports submitted code. Every failure of a worker (exception, crash, timeout, invalid reply) raises
:class:`harness.errors.WorkerError` with the stage in which it occurred.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.exchange import CheckedExchange, Exchange
from harness.isolation.marks import durations_ms
from harness.isolation.requests import (
    CeilingsReply,
    CeilingsRequest,
    CheckReply,
    CheckRequest,
    CountReply,
    CountRequest,
    EmptyReply,
    FindingReply,
    Inputs,
    LoadReply,
    LoadRequest,
    MemoryReply,
    MemoryRequest,
    PrepareReply,
    PrepareRequest,
    ReleaseRequest,
    ReparameterizeRequest,
    ReparamReply,
    TimeReply,
    TimeRequest,
    UpscaleRequest,
    UseFormRequest,
)
from harness.results.schema import Ceilings, FormName, NetworkForm, Reparam
from harness.text import printable
from harness.timing.frames import read_variations
from harness.timing.strips import STRIPS, read_strips, strip_width

Image = NDArray[np.uint8]

VALUE_RANGES = (1.0, 255.0)
"""Values of white that a network may have."""

_CALLS_PER_TIMEOUT = 10  # where a protocol has no budget


@dataclass(slots=True)
class Session(AbstractContextManager["Session"]):
    """One submission, loaded and measured step by step; use it as a context manager.

    Every method raises WorkerError, with the stage and the end of the submission's log.

    Attributes
    ----------
    exchange
        The connection to the worker.
    job
        The request that loads the network.
    timeout_s
        Longest wait for a reply, seconds.
    closed
        Whether the worker was ended.
    regions
        What was collapsed in the network, for :meth:`reparameterize` in a later process.
    """

    exchange: Exchange
    job: LoadRequest
    timeout_s: float
    closed: bool = field(default=False, init=False)
    regions: tuple[str, ...] = field(default=(), init=False)

    @property
    def checked(self) -> CheckedExchange:
        """The exchange, with the time limit of now."""
        return CheckedExchange(self.exchange, self.timeout_s)

    @property
    def isolation(self) -> str:
        """Description of the isolation."""
        return self.exchange.isolation

    def load(self) -> LoadReply:
        """Load the network."""
        reply = self.checked.ask("load", self.job, LoadReply)
        if reply.value_range not in VALUE_RANGES:
            self.checked.refuse("load", f"a value range of {reply.value_range:g}")
        # Strips of outputs are converted to levels by the value of white that the worker reported.
        self.job = self.job.model_copy(update={"value_range": reply.value_range})
        return reply

    def check(self) -> list[FindingReply]:
        """Check the network as loaded against the submission contract."""
        findings = self.checked.ask("check", CheckRequest(), CheckReply).findings
        return [
            found.model_copy(update={"what": printable(found.what, 2000), "hint": printable(found.hint, 500)})
            for found in findings
        ]

    def reparameterize(
        self,
        frames: Sequence[Image],
        *,
        automatic: bool = True,
        allow_border_error: bool = False,
        may_give_up: bool = False,
        regions: Sequence[str] | None = None,
        sizes: Sequence[tuple[int, int]] = (),
    ) -> Reparam:
        """Make the inference forms of the network and use the last of them.

        Parameters
        ----------
        frames
            H x W x 3, uint8: all forms are compared on them.
        automatic
            Whether to collapse automatically after the author's method.
        allow_border_error
            Also collapse regions that are equal only in the interior of the image.
        may_give_up
            An automatic collapse that takes most of the time limit leaves the network as it is.
        regions
            What an earlier process collapsed: nothing else is collapsed then, and the search has no time limit.
        sizes
            Heights and widths of the images for which the network is used.
        """
        request = ReparameterizeRequest(
            automatic=automatic,
            allow_border_error=allow_border_error,
            budget_s=self._collapse_budget_s() if may_give_up else None,
            regions=None if regions is None else list(regions),
            sizes=[list(size) for size in sizes],
        )
        reply = self.checked.ask("reparameterize", request, ReparamReply, frames)
        forms = [NetworkForm(**{**dict(form), "method": printable(form.method, 500)}) for form in reply.forms]
        known = {**dict(reply), "method": printable(reply.method, 500), "forms": forms}
        known["notes"] = [printable(note, 2000) for note in reply.notes]
        self.regions = tuple(known.pop("regions"))
        return Reparam(**known)

    def _collapse_budget_s(self) -> float:
        """Return a third of the time limit, or the limit of the search if that is longer and leaves time to reply."""
        return max(self.timeout_s / 3, min(self.job.analysis_limit_s, 0.8 * self.timeout_s))

    def use_form(self, form: FormName) -> None:
        """Measure one of the forms that :meth:`reparameterize` made."""
        self.checked.ask("use_form", UseFormRequest(form=form), EmptyReply)

    def count(self, input_shape: tuple[int, int, int, int], *, form: FormName | None = None) -> CountReply:
        """Count parameters and operations of the timed form, or of another one, for one input shape N, C, H, W."""
        return self.checked.ask("count", CountRequest(input_shape=list(input_shape), form=form), CountReply)

    def ceilings(self) -> Ceilings:
        """Measure the peak rates of the device with this session's threads and precision; for trusted code only."""
        return Ceilings(**dict(self.checked.ask("ceilings", CeilingsRequest(), CeilingsReply)))

    def prepare(self, size: tuple[int, int], *, main: bool = True, call: bool = True) -> float:
        """Move the network to its device and build it for its backend; return the duration in seconds.

        Parameters
        ----------
        size
            Height and width of a frame.
        main
            Whether frames of this size will be timed, so that the backend may specialize for it.
        call
            Whether to run a forward pass, in which some backends compile or record.
        """
        return self.checked.ask("prepare", PrepareRequest(size=list(size), main=main, call=call), PrepareReply).seconds

    def time(
        self,
        lr: Sequence[Image],
        warmup: int,
        repeats: int,
        min_repeats: int,
        budget_s: float | None,
        *,
        inputs: Inputs = "fresh",
        stage: str = "time",
    ) -> TimeReply:
        """Time forward passes on the frames `lr` (H x W x 3, uint8; all of one size unless each is used once).

        Errors carry `stage`. Only for "time" is it measured how long other programs may have delayed the request.
        """
        request = TimeRequest(
            warmup=warmup,
            repeats=repeats,
            min_repeats=min_repeats,
            budget_s=budget_s,
            inputs=inputs,
        )
        _release(self.checked, stage)
        begin = time.monotonic()
        calls = min(repeats, len(lr)) if inputs == "dataset" else warmup + max(repeats, min_repeats)
        # The budget is added to the time limit, which is then left for one call. Without a budget, each further group
        # of ten calls extends the limit by the usual timeout.
        extra_s = self.timeout_s * (calls - 1) / _CALLS_PER_TIMEOUT if budget_s is None else budget_s
        width = strip_width([frame.shape[1] for frame in lr], calls, self.job.scale)
        # float32: three channels for each pixel of a strip, and the row and column of the strip.
        strip_bytes = 4 * STRIPS * (3 * width + 2)
        message = self.checked.send("time", request, lr, extra_s, calls * strip_bytes, stage=stage)
        # The controller's clock, which submitted code cannot change. Only judged requests to workers are timed there.
        wall_s = time.monotonic() - begin if message.wall_s is None else message.wall_s
        reply = self.checked.validate(stage, message, TimeReply)
        if len(reply.samples_ms) > max(repeats, min_repeats, len(lr)):
            self.checked.refuse(stage, f"{len(reply.samples_ms)} samples instead of {repeats}")
        total_ms = sum(reply.samples_ms) + sum(reply.warmup_ms)
        if total_ms > wall_s * 1e3:
            self.checked.refuse(stage, f"{total_ms / 1e3:.3g} s of samples in {wall_s:.3g} s")
        made = range(len(reply.warmup_ms) + len(reply.samples_ms))
        if message.marks is not None and len(message.marks) != 2 * len(made):
            what = f"the worker marked {len(message.marks)} moments for {len(made)} timed call(s), which have two each"
            raise WorkerError(what, stage=stage, kind=DISQUALIFIED)
        shapes = [lr[call % len(lr)].shape for call in made]
        sizes = [(self.job.scale * height, self.job.scale * columns) for height, columns, _ in shapes]
        try:
            strips = read_strips(message.arrays, sizes, width, self.job.value_range)
            variations = read_variations(reply.varied, len(made)) if inputs == "fresh" else []
        except ValueError as error:
            self.checked.refuse(stage, str(error))
        return reply.model_copy(
            update={
                "wall_s": wall_s,
                "delay_s": message.delay_s,
                "strips": strips,
                "variations": variations,
                "marked_ms": durations_ms(message.marks or ()),
            }
        )

    def alive(self) -> bool:
        """Return whether the worker still runs. If not, the next request fails."""
        return self.exchange.alive()

    def pause(self) -> None:
        """Stop the worker and all its descendants until the next request, so that they cannot disturb other timings."""
        self.exchange.pause()

    def cpu_s(self) -> float | None:
        """Return the CPU time of the worker and all its descendants so far, seconds; None if unknown."""
        return self.exchange.cpu_s()

    def let_run(self) -> bool:
        """Continue the worker without a request; return whether :meth:`cpu_s` then is its own processor time."""
        return self.exchange.let_run()

    def upscale(self, lr: Image) -> Image:
        """Upscale one frame, H x W x 3, uint8, and return the image in the same format.

        This is a timed call whose image is requested afterwards, so that the worker cannot distinguish it from others.
        """
        self.time([lr], 0, 1, 1, None, stage="upscale")
        return self.last_image(lr)

    def last_image(self, lr: Image) -> Image:
        """Return the output of the last timed call, whose input was `lr`, as an image; once for each request."""
        height, width, _ = lr.shape
        shape = (height * self.job.scale, width * self.job.scale, 3)
        message = self.checked.send("upscale", UpscaleRequest(), [], 0.0, max_payload=int(np.prod(shape)))
        self.checked.validate("upscale", message, EmptyReply)
        if len(message.arrays) != 1:
            self.checked.refuse("upscale", f"{len(message.arrays)} arrays instead of one image")
        (image,) = message.arrays
        if image.dtype != np.uint8 or image.shape != shape:
            self.checked.refuse("upscale", f"an image of {image.shape}, {image.dtype}, instead of {shape}, uint8")
        return image

    def memory(self, size: tuple[int, int] | None = None) -> int | None:
        """Measure the peak memory of one forward pass, bytes; None if unknown.

        On the CPU it is extrapolated from two smaller passes, see `harness.worker.memory`.

        Parameters
        ----------
        size
            Height and width of the frame; None for the last timed size. Before :meth:`time`, the result is then None.
        """
        request = MemoryRequest(size=None if size is None else list(size))
        return self.checked.ask("memory", request, MemoryReply).peak_bytes

    def close(self) -> None:
        """End the worker and save its log. Never raises because of the submission."""
        if self.closed:
            return
        self.closed = True
        self.exchange.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _release(checked: CheckedExchange, stage: str) -> None:
    """Free the output of the last call before a frame is sent: a finalizer that ran later could work on that frame.

    Errors carry `stage`, for which this is done.
    """
    try:
        checked.ask("release", ReleaseRequest(), EmptyReply)
    except WorkerError as error:
        if error.stage == "release":  # others have the stage of what the submission did before
            error.stage = stage
        raise
