"""The run, top to bottom.

discover -> plan -> (per submission, isolated:) load -> reparameterize -> count -> time -> upscale
         -> (controller:) quality -> score -> rank -> save -> report
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Literal

from harness import __version__
from harness.engines import Engine, Job, LocalEngine
from harness.errors import SubmissionError, WorkerError
from harness.isolation.session import Session
from harness.observer import Observer, Silent
from harness.plan import Plan, PlannedSubmission, RunRequest, make_plan
from harness.quality import Quality, evaluate_pair, upscale_bicubic
from harness.report import build_report
from harness.results import ErrorInfo, ImageQuality, Measurement, Run, RunStore, TimingRecord
from harness.results.schema import DatasetInfo, RunInfo, Status, TrackInfo
from harness.submissions.discovery import BrokenSubmission, Submission
from harness.timing import Precision, summarise
from harness.tracks import Candidate, make_entries

_REFERENCE = "Bicubic"  # the baseline that the score subtracts
_PSNR_CAP = 100.0  # dB; identical images have no finite PSNR, and JSON has no infinity


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run leaves.

    Attributes
    ----------
    run
        The table.
    folder
        Where everything was written.
    report
        The leaderboard's HTML file.
    """

    run: Run
    folder: Path
    report: Path


def run(request: RunRequest, observer: Observer | None = None, engine: Engine | None = None) -> Finished:
    """Measure, score, rank and report a set of submissions.

    Submissions whose figures are already in the run's folder are not measured again. An interrupt (Ctrl-C) ends the
    run early: what was measured is scored, saved and reported, and marked as incomplete.

    Raises
    ------
    UsageError, DataError
        The run cannot begin.
    ResultsError
        The run's folder cannot be written.
    """
    listener = observer or Silent()
    plan = make_plan(request)
    store = RunStore(plan.folder)
    began = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    with store.locked():
        if request.fresh:
            store.forget_measurements()
        listener.run_begins(len(plan.submissions), len(plan.dataset))
        measurements, complete = _measure_all(plan, store, engine or LocalEngine(), listener)
        listener.run_ends()
        table = _assemble(plan, measurements, began=began, complete=complete)
        store.save_run(table, {_slug(planned): m for planned, m in measurements})
        report = build_report(plan.folder)
    return Finished(table, plan.folder, report)


def _measure_all(
    plan: Plan, store: RunStore, engine: Engine, observer: Observer
) -> tuple[list[tuple[PlannedSubmission, Measurement]], bool]:
    """Measure every submission, or take it from the store; return what there is, and whether it is all."""
    done: list[tuple[PlannedSubmission, Measurement]] = []
    try:
        for planned in plan.submissions:
            observer.submission_begins(planned.submission.name)
            stored = store.measurement(planned.fingerprint)
            reused = stored is not None and not (plan.request.retry_failed and stored.status == "failed")
            measurement = stored if stored is not None and reused else _measure(plan, planned, store, engine, observer)
            if not reused:
                store.save_measurement(measurement)
            done.append((planned, measurement))
            observer.submission_ends(planned.submission.name, measurement, reused=reused)
    except KeyboardInterrupt:
        return done, False
    return done, True


def _measure(
    plan: Plan, planned: PlannedSubmission, store: RunStore, engine: Engine, observer: Observer
) -> Measurement:
    """Take one submission through its worker; whatever goes wrong there becomes its row."""
    submission = planned.submission
    if isinstance(submission, BrokenSubmission):
        return _not_measured(planned, "failed", "discover", submission.error)
    if plan.track.scale not in submission.manifest.scales:
        supported = ", ".join(f"x{scale}" for scale in submission.manifest.scales)
        reason = SubmissionError(f"does not support x{plan.track.scale} (supports {supported})")
        return _not_measured(planned, "unsupported", "plan", reason)
    subject = Subject(plan, submission, observer, _empty(planned))
    try:
        with subject.open(engine, store.log_path(submission.slug), plan.protocol.precision) as worker:
            subject.load(worker)
            subject.reparameterize(worker)
            subject.count(worker)
            subject.time(worker)
            if subject.measured.has_weights:
                subject.upscale(worker)
        if subject.measured.has_weights and plan.protocol.precision != "fp32":
            with subject.open(engine, store.log_path(submission.slug), "fp32") as worker:
                subject.upscale_in_float32(worker)
    except WorkerError as error:
        return subject.failed(error)
    return subject.finished()


@dataclass(slots=True)
class Subject:
    """One submission on its way through the stages; `measured` grows with each."""

    plan: Plan
    submission: Submission
    observer: Observer
    measured: Measurement
    qualities: list[ImageQuality] = field(default_factory=list)

    def open(self, engine: Engine, log: Path, precision: Precision) -> Session:
        """Start the worker that will run the submission's code."""
        self.observer.stage("start", done=0.0)
        request = self.plan.request
        job = Job(
            self.submission,
            scale=self.plan.track.scale,
            device=self.plan.device.kind,
            precision=precision,
            threads=self.plan.device.threads,
            timeout_s=request.timeout_s,
            log_path=log,
            sandbox=request.sandbox,
        )
        return engine.open(job)

    def load(self, worker: Session) -> None:
        """Build the network and fill in its weights."""
        self.observer.stage("load", done=0.05)
        reply = worker.load()
        self._add(
            has_weights=reply.weights,
            load_info=reply.info,
            notes=reply.notes,
            params=reply.params_before,
            isolation=worker.isolation,
        )

    def reparameterize(self, worker: Session) -> None:
        """Turn the training form into the inference form, and prove that both are the same."""
        self.observer.stage("reparameterize", done=0.1)
        self._add(reparam=worker.reparameterize(self.plan.proof_frames()))

    def count(self, worker: Session) -> None:
        """Count parameters and operations of the form that is timed."""
        self.observer.stage("count", done=0.15)
        reply = worker.count(self.plan.track.input_shape)
        self._add(
            params=reply.params,
            macs=reply.macs,
            activations=reply.activations,
            macs_ntire23=reply.macs_ntire23,
            incomplete_ops=list(reply.incomplete_ops),
            macs_source=reply.source,
        )
        reparam = self.measured.reparam
        if reparam is not None and reparam.method != "none":
            before = worker.count(self.plan.track.input_shape, original=True)
            self._add(reparam=reparam.model_copy(update={"macs_before": before.macs, "macs_after": reply.macs}))

    def time(self, worker: Session) -> None:
        """Time the forward pass at the track's size, and note its peak memory."""
        _, _, height, width = self.plan.track.output_shape
        self.observer.stage("time", f"at {width}x{height}", done=0.2)
        protocol = self.plan.protocol
        dataset = self.plan.dataset
        on_images = protocol.inputs == "dataset"
        reply = worker.time(
            [dataset.pair(index)[0] for index in range(len(dataset))] if on_images else self.plan.timing_frames(),
            warmup=protocol.warmup,
            repeats=protocol.repeats,
            min_repeats=protocol.min_repeats,
            budget_s=protocol.budget_s,
            inputs=protocol.inputs,
        )
        samples = list(zip(reply.at_s, reply.samples_ms, strict=True))
        self._add(
            timing=TimingRecord(clock=reply.clock, samples=samples, note=reply.note), peak_memory_bytes=worker.memory()
        )

    def upscale(self, worker: Session) -> None:
        """Upscale every image of the data set and measure its quality; only LR goes to the worker."""
        self._add(images=self._qualities(worker))

    def upscale_in_float32(self, worker: Session) -> None:
        """Measure what the timed precision costs in quality."""
        worker.load()
        worker.reparameterize(self.plan.proof_frames())
        self._add(float32_psnr_rgb=fmean(image.psnr_rgb for image in self._qualities(worker)))

    def _qualities(self, worker: Session) -> list[ImageQuality]:
        dataset = self.plan.dataset
        qualities = []
        for index, name in enumerate(dataset.names):
            self.observer.stage("upscale", name, done=0.5 + 0.5 * index / len(dataset))
            lr, hr = dataset.pair(index)
            qualities.append(_image_quality(name, evaluate_pair(worker.upscale(lr), hr)))
        return qualities

    def failed(self, error: WorkerError) -> Measurement:
        """Return what was measured before the failure, with the reason."""
        reason = ErrorInfo(stage=error.stage, type=error.kind, message=str(error), log=error.log)
        unsupported = error.kind == "UnsupportedError"
        self._add(status="unsupported" if unsupported else "failed", error=reason)
        return self.measured

    def finished(self) -> Measurement:
        """Return the whole measurement."""
        if not self.measured.has_weights:
            message = f"no weights for x{self.plan.track.scale}"
            self._add(status="unsupported", error=ErrorInfo(stage="load", type="NoWeights", message=message))
        return self.measured

    def _add(self, **figures: object) -> None:
        self.measured = Measurement.model_validate({**dict(self.measured), **figures})


def _image_quality(name: str, quality: Quality) -> ImageQuality:
    return ImageQuality(
        image=name,
        psnr_rgb=min(quality.psnr_rgb, _PSNR_CAP),
        psnr_y=min(quality.psnr_y, _PSNR_CAP),
        ssim_rgb=quality.ssim_rgb,
        ssim_y=quality.ssim_y,
    )


def _empty(planned: PlannedSubmission) -> Measurement:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Measurement(fingerprint=planned.fingerprint, created=created, status="ok")


def _not_measured(planned: PlannedSubmission, status: Status, stage: str, error: Exception) -> Measurement:
    reason = ErrorInfo(stage=stage, type=type(error).__name__, message=str(error))
    return _empty(planned).model_copy(update={"status": status, "error": reason})


def _slug(planned: PlannedSubmission) -> str:
    return planned.submission.slug


def _assemble(
    plan: Plan, measurements: list[tuple[PlannedSubmission, Measurement]], *, began: str, complete: bool
) -> Run:
    """Score, rank and describe: everything that goes into ``results.json``."""
    bicubic, source = _bicubic_psnr(plan)
    candidates = [_candidate(plan, planned, measurement) for planned, measurement in measurements]
    return Run(
        run=RunInfo(
            id=plan.folder.name,
            created=began,
            harness_version=__version__,
            command=plan.request.command,
            complete=complete,
        ),
        track=TrackInfo(
            name=plan.track.name,
            scale=plan.track.scale,
            score_formula=plan.track.score_formula,
            bicubic_psnr=bicubic,
            bicubic_source=source,
        ),
        dataset=DatasetInfo(
            name=plan.dataset.name,
            images=len(plan.dataset),
            fingerprint=plan.dataset.fingerprint,
            degradation=plan.dataset.degradation.description,
            image_names=list(plan.dataset.names),
        ),
        device=plan.device,
        protocol=plan.protocol_info(),
        entries=make_entries(candidates, plan.track, bicubic, plan.protocol.statistic),
    )


def _candidate(plan: Plan, planned: PlannedSubmission, measurement: Measurement) -> Candidate:
    submission = planned.submission
    timing = measurement.timing
    samples = [milliseconds for _, milliseconds in timing.samples] if timing else []
    runtime = summarise(samples, plan.protocol.statistic, note=timing.note) if timing else None
    candidate = Candidate(submission.name, "", submission.kind, submission.slug, measurement, runtime)
    if isinstance(submission, BrokenSubmission):
        return candidate
    manifest = submission.manifest
    return replace(
        candidate,
        team=manifest.team,
        published=manifest.published.get(f"x{plan.track.scale}"),
        reconstructed=manifest.reconstructed,
        is_reference=submission.kind == "baseline" and submission.name == _REFERENCE,
    )


def _bicubic_psnr(plan: Plan) -> tuple[float, Literal["measured", "published"]]:
    """Return the PSNR that the score subtracts: the challenge's constant on its own data, else measured here."""
    official = plan.track.official_bicubic.get(plan.dataset.name)
    if official is not None:
        return official, "published"
    return fmean(_bicubic_on(plan, index) for index in range(len(plan.dataset))), "measured"


def _bicubic_on(plan: Plan, index: int) -> float:
    lr, hr = plan.dataset.pair(index)
    quality = evaluate_pair(upscale_bicubic(lr, plan.track.scale), hr)
    return min(float(getattr(quality, plan.track.metric)), _PSNR_CAP)
