"""One submission on its way through the stages, in a worker of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.outputs import OutputFolder
from harness.engines import Engine, Job
from harness.errors import DISQUALIFIED, UnsupportedError, WorkerError
from harness.isolation.requests import LayerReply, TimeReply
from harness.isolation.session import Session
from harness.machine.gpu_state import GpuMonitor
from harness.machine.load import others_share
from harness.quality import evaluate_pair, upscale_bicubic
from harness.results import ErrorInfo, ImageQuality, Measurement, TimingRecord
from harness.results.crops import CropStore
from harness.results.measurement import Layer
from harness.results.schema import Backend, Ceilings, QualityFigures, Status
from harness.run.plan import Plan
from harness.run.progress import Progress
from harness.run.quality_pass import Upscaled, evaluate
from harness.submissions.discovery import Submission
from harness.submissions.environments import python_for
from harness.text import printable
from harness.timing import FrameSource, Precision, frame_of_call
from harness.timing.checks import Request, alarms_note, check_alarms, check_timed_size
from harness.timing.output_check import OutputCheck, OutputTile
from harness.timing.post_timing_checks import PostTimingChecks
from harness.timing.protocol import Inputs

BACKENDS_WITHOUT_BUILD = ("eager", "channels_last")
_GRID = 16  # pixels: more than the strides of networks that take any size
PSNR_CAP = 100.0  # dB; identical images have no finite PSNR, and JSON has no infinity


def empty_measurement(fingerprint: str, backend: Backend = "eager") -> Measurement:
    """Return the measurement of something of which nothing is known yet."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Measurement(fingerprint=fingerprint, created=created, status="ok", backend=backend)


@dataclass(slots=True)
class SubmissionRun:
    """A submission between its worker's start and its end; `measured` grows with each stage.

    Every stage raises WorkerError; the caller hands that to `fail`.
    """

    plan: Plan
    submission: Submission
    progress: Progress
    measured: Measurement
    log: Path
    crops: CropStore | None = None
    outputs: OutputFolder | None = None
    worker: Session | None = None
    size_multiple: int = 1
    timed_output: OutputTile | None = None
    """What it made of a frame in its timing."""
    process: int = 0
    """Which of its workers this is, from 0."""
    python: Path | None = None
    """Interpreter of the environment that was made for it; None for the harness's own."""
    installed: list[str] = field(default_factory=list)

    def prepare(self, engine: Engine) -> None:
        """Start the worker, build the network, bring it into its inference form and count it."""
        self._install()
        self._open(engine)
        self._load()
        self._reparameterize()
        self._count()
        self._build_backend()

    def restart(self, engine: Engine) -> Session:
        """Bring the network up once more, as it was, in a new process; nothing is noted."""
        worker = self._reopen(engine, self.job())
        self._prepare_backend()
        return worker

    def _reopen(self, engine: Engine, job: Job) -> Session:
        self.close()
        self.worker = engine.open(job)
        self.worker.load()
        self.worker.reparameterize(self.plan.proof_frames())
        return self.worker

    def job(self) -> Job:
        """Return how its workers are started."""
        backend, precision = self.plan.request.backend, self.plan.protocol.precision
        job = job_for(self.plan, self.submission, precision, self.log, self.python, backend)
        return replace(job, process=self.process)

    def time_alone(self, reason: str | None = None, anchor: Session | None = None) -> None:
        """Time the forward pass from the first call to the last, and note its peak memory.

        Parameters
        ----------
        reason
            Why, where the protocol says otherwise: it goes to the row and to the run's warnings.
        anchor
            The harness's own network, to judge the worker's clock by.
        """
        _, _, height, width = self.plan.track.output_shape
        self.progress.timing(self.submission.slug, 0, 1, 0.0, f"at {width}x{height}")
        protocol, dataset = self.plan.protocol, self.plan.dataset
        on_images = protocol.inputs == "dataset"
        frames = [dataset.pair(i)[0] for i in range(len(dataset))] if on_images else self.plan.timing_frames()
        if (
            self.plan.request.backend in BACKENDS_WITHOUT_BUILD
        ):  # what takes it to the device is none of the calls' time
            self._running().prepare((height, width), call=False)
        busy, _ = others_share()
        card = GpuMonitor(self.plan.device.kind)
        before = card.read()
        reply = self._running().time(
            frames,
            warmup=protocol.warmup,
            repeats=protocol.repeats,
            min_repeats=protocol.min_repeats,
            budget_s=protocol.budget_s,
            inputs=protocol.inputs,
        )
        readings = [reading for reading in (before, card.read()) if reading is not None]
        self._check_timed_output(frames, reply, anchor)
        warmup = list(zip(reply.warmup_at_s, reply.warmup_ms, strict=True))
        samples = list(zip(reply.at_s, reply.samples_ms, strict=True))
        alarms = alarms_note(reply.alarms, reply.warmup_calls + len(samples))
        note = "; ".join(part for part in (reply.note, alarms, reason) if part) or None
        self._add(
            timing=TimingRecord(clock=reply.clock, warmup=warmup, samples=samples, note=note, card=readings, busy=busy),
            peak_memory_bytes=self._running().memory(),
            warnings=[*self.measured.warnings, *([reason] if reason else [])],
        )
        self._running().pause()

    def measure_memory(self) -> int | None:
        """Note and return the peak memory of a forward pass at the track's size, bytes; None where it is unknown."""
        _, _, height, width = self.plan.track.input_shape
        peak = self._running().memory((height, width))
        self._add(peak_memory_bytes=peak)
        return peak

    def keep_ceilings(self, ceilings: Ceilings | None) -> None:
        """Take what the device does at best."""
        self._add(ceilings=ceilings)

    def resume(self, earlier: Measurement) -> None:
        """Take what an earlier run had timed when it was stopped."""
        kept = {name: getattr(earlier, name) for name in ("timing", "ceilings", "peak_memory_bytes", "warnings")}
        self._add(**kept)

    @property
    def is_timed(self) -> bool:
        """Whether nothing of its timing is to come."""
        timing = self.measured.timing
        return timing is not None and timing.remaining_work is None

    def keep_timing(self, timing: TimingRecord | None) -> None:
        """Take what was timed in company, or drop it."""
        self._add(timing=timing)

    def upscale(self, engine: Engine) -> None:
        """Upscale every image of the data set and measure its quality; only LR goes to the worker."""
        if self.measured.has_weights:
            if self.outputs is not None:
                self.outputs.begin()
            self._add(images=self._qualities())
            self._check_timed_output_again()
            self._check_timed_size()
            if self.outputs is not None:
                self.outputs.finish()
        self.close()
        if self.float32_job() is not None:
            try:
                self._upscale_in_float32(engine)
            except WorkerError as error:  # a remark is missing then, not a measurement
                self._add(notes=[*self.measured.notes, f"not compared with float32: {error.what}"])
                self.close()

    def float32_job(self) -> Job | None:
        """Return how the network is run once more to learn what the timed precision costs; None where it costs nothing.

        What it prints then is not kept: the log is of what was measured.
        """
        if not self.measured.has_weights or self.plan.protocol.precision == "fp32":
            return None
        return job_for(self.plan, self.submission, "fp32", None, self.python, self.plan.request.backend)

    def fail(self, error: WorkerError) -> None:
        """Keep what was measured before the failure, with the reason, and end the worker."""
        reason = ErrorInfo(stage=error.stage, type=error.kind, message=str(error), log=error.log)
        statuses: dict[str, Status] = {"UnsupportedError": "unsupported", DISQUALIFIED: "disqualified"}
        self._add(status=statuses.get(error.kind, "failed"), error=reason)
        self.close()

    def finish(self) -> Measurement:
        """Return the whole measurement."""
        if self.measured.error is None and not self.measured.has_weights:
            message = f"no weights for x{self.plan.track.scale}"
            self._add(status="unsupported", error=ErrorInfo(stage="load", type="NoWeights", message=message))
        if self.measured.timing is not None:  # of one that failed, nothing comes any more
            self.keep_timing(self.measured.timing.model_copy(update={"remaining_work": None}))
        return self.measured

    def close(self) -> None:
        """End the worker, if there is one."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def _install(self) -> None:
        """Make the environment that the submission requires, where that is wanted."""
        request, submission = self.plan.request, self.submission
        if not request.install:
            return
        try:
            self.python, self.installed = python_for(
                submission.root,
                submission.manifest,
                request.wheels,
                lambda what: self.progress.stage(self.submission.slug, "install", what),
            )
        except UnsupportedError as error:
            raise WorkerError(str(error), stage="install", kind="UnsupportedError") from error

    def _open(self, engine: Engine) -> None:
        self.progress.stage(self.submission.slug, "start")
        self.worker = engine.open(self.job())

    def _running(self) -> Session:
        assert self.worker is not None
        return self.worker

    def _load(self) -> None:
        self.progress.stage(self.submission.slug, "load")
        reply = self._running().load()
        self.size_multiple = reply.size_multiple
        self._add(
            has_weights=reply.weights,
            backend=reply.backend,
            notes=[*self._remark_on_environment(), *self._remark_on_backend(reply.backend), *reply.notes],
            params=reply.params_before,
            isolation=self._running().isolation,
        )

    def _remark_on_environment(self) -> list[str]:
        return [f"installed for it: {', '.join(self.installed)}"] if self.installed else []

    def _remark_on_backend(self, backend: Backend) -> list[str]:
        wanted = self.plan.request.backend
        if backend == wanted:
            return []
        return [
            f"executed with backend {backend}, so not ranked among networks of backend {wanted}: --backend {backend} ranks all alike"
        ]

    def _reparameterize(self) -> None:
        """Turn the training form into the inference form, and prove that both are the same."""
        self.progress.stage(self.submission.slug, "reparameterize")
        self._add(reparam=self._running().reparameterize(self.plan.proof_frames()))

    def _count(self) -> None:
        """Count parameters and operations of the form that is timed."""
        self.progress.stage(self.submission.slug, "count")
        reply = self._running().count(self.plan.track.input_shape)
        self._add(
            params=reply.params,
            macs=reply.macs,
            activations=reply.activations,
            macs_ntire23=reply.macs_ntire23,
            incomplete_ops=list(reply.incomplete_ops),
            macs_source=reply.source,
            bytes_moved=reply.bytes_moved,
            operators=reply.operators,
            layers=[_layer(layer) for layer in reply.layers],
        )
        reparam = self.measured.reparam
        if reparam is not None and reparam.method != "none":
            before = self._running().count(self.plan.track.input_shape, original=True)
            self._add(reparam=reparam.model_copy(update={"macs_before": before.macs, "macs_after": reply.macs}))

    def _build_backend(self) -> None:
        """Let the backend compile, export or record the network, so that no time and no other stage has that in it."""
        if self.plan.request.backend not in BACKENDS_WITHOUT_BUILD:
            self.progress.stage(self.submission.slug, "prepare", f"for {self.plan.request.backend}")
            self._add(build_s=self._prepare_backend())

    def _prepare_backend(self) -> float | None:
        if self.plan.request.backend in BACKENDS_WITHOUT_BUILD:
            return None
        on_images = self.plan.protocol.inputs == "dataset"
        size = self.plan.dataset.pair(0)[0].shape[:2] if on_images else self.plan.track.input_shape[2:]
        return self._running().prepare((size[0], size[1]), main=not on_images)

    def _check_timed_output(self, frames: list[Any], reply: TimeReply, anchor: Session | None) -> None:
        """Hold the last timed output against an untimed one, and a few more calls against those that were timed.

        A model of one long call is spared more of them.
        """
        check_alarms(reply.alarms, reply.warmup_calls + len(reply.samples_ms))
        inputs, protocol = self.plan.protocol.inputs, self.plan.protocol
        last = reply.warmup_calls + len(reply.samples_ms) - 1
        if reply.note is not None:
            return
        outputs = self._outputs()
        frame = {"reused": frames[0], "dataset": frames[-1]}.get(inputs)
        outputs.check(frame_of_call(frames, last) if frame is None else frame)
        if protocol.budget_s is not None and float(np.median(reply.samples_ms)) / 1e3 > protocol.budget_s / 3:
            return
        # Of images, the largest one: the anchor's part of a request is not to be smaller than theirs.
        source = FrameSource([max(frames, key=np.size)] if inputs == "dataset" else frames)
        threads = self.plan.device.threads if self.plan.device.kind == "cpu" else None
        afterwards = PostTimingChecks(self._running(), source, self._outputs(), threads, anchor)
        builds = (
            inputs == "dataset" and self.plan.request.backend not in BACKENDS_WITHOUT_BUILD
        )  # for each size, in the request
        timed = [] if builds else _requests(reply, inputs)
        afterwards.check(reply.samples_ms, timed, frames[0] if inputs == "reused" else None)
        self.timed_output = outputs.last

    def _check_timed_output_again(self) -> None:
        """Hold what it made of a frame in its timing against what it makes of that frame now."""
        if self.timed_output is not None and not self._is_slow():
            self._outputs().check_later(self.timed_output)

    def _outputs(self) -> OutputCheck:
        return OutputCheck(
            self._running(), self.plan.track.scale, self.plan.protocol.precision, np.random.default_rng()
        )

    def _check_timed_size(self) -> None:
        """Hold the quality of a few images against that of the same ones within frames of the timed size."""
        if self.plan.protocol.inputs == "dataset" or self._is_slow():  # timed as they are scored; too long a call
            return
        self.progress.stage(self.submission.slug, "upscale", "at the timed size", done=1.0)
        check_timed_size(self._at_both_sizes())

    def _at_both_sizes(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]]:
        """Upscale images alone and within frames that are shifted round, as timed ones are.

        Compared is what the shift leaves in one piece: where frames are cut, a network sees another border.
        """
        scale = self.plan.dataset.scale
        for index, frame in enumerate(self.plan.timing_frames()):
            lr, hr = self.plan.dataset.pair(index)
            if lr.shape != frame.shape:
                top, left = self._shift(frame)
                height = scale * min(lr.shape[0], frame.shape[0] - top)
                width = scale * min(lr.shape[1], frame.shape[1] - left)
                scored = self._running().upscale(lr)
                timed = self._running().upscale(np.roll(frame, (top, left), axis=(0, 1)))[scale * top :, scale * left :]
                yield scored[:height, :width], timed[:height, :width], hr[:height, :width]

    def _shift(self, frame: NDArray[np.uint8]) -> tuple[int, int]:
        """Draw by how much a frame is shifted: by whole blocks, because a network with strides has a grid."""
        grid, rng = math.lcm(_GRID, self.size_multiple), np.random.default_rng()
        most = [side // 2 // grid for side in frame.shape[:2]]
        top, left = (grid * int(rng.integers(1, blocks + 1)) if blocks else 0 for blocks in most)
        return top, left

    def _is_slow(self) -> bool:
        """Tell whether one call takes more than a third of the budget, so that it is spared more of them."""
        budget_s, timing = self.plan.protocol.budget_s, self.measured.timing
        return (
            budget_s is not None
            and timing is not None
            and float(np.median([ms for _, ms in timing.samples])) > budget_s * 1e3 / 3
        )

    def _upscale_in_float32(self, engine: Engine) -> None:
        """Measure what the timed precision costs in quality."""
        self.crops = self.outputs = None  # the reader sees what was scored
        job = self.float32_job()
        assert job is not None
        self._reopen(engine, job)
        self._add(float32_psnr_rgb=fmean(image.psnr_rgb for image in self._qualities()))
        self.close()

    def _qualities(self) -> list[ImageQuality]:
        keep = None if self.outputs is None else self._keep
        return evaluate(self.plan.dataset, self._upscaled, self._quality, keep)

    def _upscaled(self, index: int, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        names = self.plan.dataset.names
        self.progress.stage(self.submission.slug, "upscale", names[index], done=index / len(names))
        return self._running().upscale(lr)

    def _quality(self, image: Upscaled) -> ImageQuality:
        if self.crops is not None:
            if not self.crops.has_begun(image.name):
                self.crops.begin(image.name, image.hr, upscale_bicubic(image.lr, self.plan.track.scale))
            self.crops.add(image.name, self.submission.slug, image.sr)
        return image_quality(image, self.plan.track.convention, self.plan.request.conventions, self.plan.track.scale)

    def _keep(self, image: Upscaled) -> None:
        assert self.outputs is not None
        self.outputs.add(image.name, image.sr)

    def _add(self, **figures: object) -> None:
        self.measured = Measurement.model_validate({**dict(self.measured), **figures})


def job_for(
    plan: Plan,
    submission: Submission,
    precision: Precision,
    log: Path | None,
    python: Path | None = None,
    backend: Backend = "eager",
) -> Job:
    """Return how a run starts a worker."""
    return Job(
        submission,
        scale=plan.track.scale,
        device=plan.device.kind,
        precision=precision,
        threads=plan.device.threads,
        backend=backend,
        strict=plan.protocol.order == "rounds",
        timeout_s=plan.request.timeout_s,
        log_path=log,
        sandbox=plan.request.sandbox,
        python=python,
        trust_pickle=plan.request.trust_pickle,
    )


def _requests(reply: TimeReply, inputs: Inputs) -> list[Request]:
    """Return a timing in one request as the clock check takes it."""
    calls, reported_ms = len(reply.samples_ms), sum(reply.samples_ms)
    if inputs == "dataset":  # each call had a frame of its own to bring to the device, as a request of one call has
        return [Request(1, reported_ms / calls, reply.wall_s * 1e3 / calls)] * calls
    return [Request(calls + len(reply.warmup_ms), reported_ms + sum(reply.warmup_ms), reply.wall_s * 1e3)]


def _layer(reply: LayerReply) -> Layer:
    words = {field: printable(getattr(reply, field), 300) for field in ("name", "type", "settings")}
    return Layer(**{**dict(reply), **words})


def image_quality(image: Upscaled, convention: str, others: Sequence[str], scale: int) -> ImageQuality:
    """Measure one output by the run's own convention and by others."""

    def figures(name: str) -> QualityFigures:
        quality = evaluate_pair(image.sr, image.hr, name, scale=scale)
        return QualityFigures(
            psnr_rgb=min(quality.psnr_rgb, PSNR_CAP),
            psnr_y=min(quality.psnr_y, PSNR_CAP),
            ssim_rgb=quality.ssim_rgb,
            ssim_y=quality.ssim_y,
        )

    by_others = {name: figures(name) for name in others}
    return ImageQuality(image=image.name, conventions=by_others, **dict(figures(convention)))
