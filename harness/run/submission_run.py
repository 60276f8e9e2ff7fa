"""State and stages of one submission in a run.

The stages are methods of :class:`SubmissionRun`. In the order of a run:

1. ``prepare``: start a worker, load the network in it, reparameterize, count.
2. ``measure_memory``: only for networks that are timed in turns with others, to know which of them fit into memory.
3. The timing: ``time_alone``, or :class:`harness.run.interleaved.InterleavedTiming` for networks that take turns.
4. ``upscale``: upscale the images, measure their quality, and check that the images come from what was timed.
5. ``finish``: set the final status and return the measurement, which :class:`harness.run.context.RunContext` stores.
   When all submissions are finished, :mod:`harness.run.assemble` makes a row of each measurement.

Every stage adds its part to ``measurement``, and raises WorkerError if the submission fails. The caller,
:meth:`harness.run.context.RunContext.attempt`, passes the error to ``fail``, stores the measurement with it, and goes
on with other submissions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.engines import Job, Opener, PrefetchingEngine
from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.session import Session
from harness.quality.evaluate import mean_psnr
from harness.results import ErrorInfo, Measurement, TimingRecord
from harness.results.measurement import QualityPart, TimingPart
from harness.results.record import Status
from harness.results.schema import Ceilings, FormName, Reparam
from harness.run import stages
from harness.run.alone_timing import AloneTiming
from harness.run.form_selection import FormSelection, as_loaded
from harness.run.further_quality import further_passes
from harness.run.low_quality import explain_low_quality
from harness.run.optional_stages import OptionalStages
from harness.run.plan import TIMING_FRAMES, Plan, PlannedSubmission
from harness.run.plausibility import disqualify_if_impossible
from harness.run.progress import Progress
from harness.run.quality_pass import QualityPass
from harness.run.recall_check import RecallCheck, doubts
from harness.run.recount import asks_for_recount, recounted
from harness.run.submission_worker import SubmissionWorker
from harness.run.timed_size_check import check_what_was_timed
from harness.text import printable
from harness.timing.output_check import OutputSample
from harness.timing.timed_parts import TimedPart

_MAX_TEXT = 16_000  # characters of a message, a log or a note


@dataclass(slots=True)
class SubmissionRun:
    """A submission whose network is prepared, timed and evaluated.

    Its network is loaded in several workers, one after another: one for each process in which it is timed, the last of
    which also upscales, and one more that computes in float32, to measure what the timed precision costs in quality.

    Attributes
    ----------
    plan
        Track, data set, device, protocol and options of the run.
    planned
        The submission and its fingerprint.
    progress
        Receives an event for every stage.
    quality_pass
        Measures quality on the data set.
    worker
        Starts and ends the submission's workers.
    measurement
        All results so far; every stage adds its part.
    size_multiple
        The network pads its input to a multiple of this.
    timed_output
        A part of a timed output, set by the timing. After the images, the network must still reproduce it. None after a
        run was resumed: nothing is compared then.
    timed_parts
        Parts of timed outputs, set by the timing of networks that take turns. They must be as good as the images that
        are scored.
    scored_image
        An LR image, chosen at random, with the network's output. A graph that the worker exports must reproduce it.
    graph
        The network as its worker exported it (``--verify-graph``). :func:`harness.run.graph_timing.verify_graph` times
        it without the submission's code after the images. None if that is not wanted.
    graph_error
        Why it could not be exported.
    """

    plan: Plan
    planned: PlannedSubmission
    progress: Progress
    quality_pass: QualityPass
    worker: SubmissionWorker
    measurement: Measurement
    size_multiple: int = 1
    timed_output: OutputSample | None = None
    timed_parts: list[TimedPart] = field(default_factory=list)
    scored_image: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
    graph: bytes | None = None
    graph_error: str = ""

    @property
    def slug(self) -> str:
        """The submission's name in files."""
        return self.planned.submission.slug

    @property
    def is_running(self) -> bool:
        """Whether a worker holds the network, so that a further stage can begin."""
        return self.worker.session is not None

    @property
    def is_timed(self) -> bool:
        """Whether the timing is complete."""
        timing = self.measurement.timing
        return timing is not None and timing.remaining_work is None

    # The stages, in the order of a run.

    def prepare(self, engine: PrefetchingEngine, form: FormName | None = None) -> None:
        """Load the network, choose its form, count its operations, and build what its backend calls, if anything.

        Parameters
        ----------
        engine
            Starts the worker.
        form
            The form that an earlier run chose, whose times are to be continued; None to choose one.
        """
        # Only with --install; otherwise the worker uses the harness's own environment.
        installed = self.worker.install(lambda what: self._report("install", what))
        self._report("start")
        session = self.worker.open(engine)
        self._report("load")
        backend, metric = self.plan.request.backend, self.plan.track.metric
        part, self.size_multiple = stages.load(session, backend, installed, metric)
        # The empty measurement may have a note already, see `Preparation._empty`.
        part = part.model_copy(update={"notes": [*self.measurement.notes, *part.notes]})
        self.measurement = self.measurement.updated(part)
        # A network that cannot be reparameterized or counted is measured all the same; its row says what is missing.
        optional = OptionalStages(self.worker, engine)
        reparam = self._reparameterize(optional)
        self.measurement = self.measurement.model_copy(update={"reparam": reparam})  # kept if counting fails
        self._report("count")
        counted, reparam = optional.count(self.plan.track.input_shape, reparam)
        if reparam is not None and reparam.forms and reparam.policy is None:
            # There are several forms, and none was chosen yet: it takes their counts, and perhaps their times.
            selection = FormSelection(self.plan, optional, reparam, engine, self._report)
            reparam, counted = selection.choose(counted, form)
        self.measurement = self.measurement.updated(counted).model_copy(update={"reparam": reparam})
        self._note(*optional.notes)
        if self.worker.needs_build:
            engine.finish_own_work()  # the duration of the build is reported
            self._report("prepare", f"for {self.plan.request.backend}")
        self.measurement = self.measurement.model_copy(update={"build_s": self.worker.build()})

    def measure_memory(self) -> None:
        """Estimate the peak memory of a forward pass at the track's size, and pause the worker until its first turn."""
        self._report("prepare", "(peak memory)")
        _, _, height, width = self.plan.track.input_shape
        peak, notes = stages.peak_memory(self.worker.running, (height, width))
        self.measurement = self.measurement.updated(TimingPart(peak_memory_bytes=peak))
        self._note(*notes)
        self.worker.running.pause()

    def time_alone(self, anchor: Session | None, reason: str | None = None) -> None:
        """Time the network with no other in between; see :class:`harness.run.alone_timing.AloneTiming`.

        Networks that take turns are timed by :class:`harness.run.interleaved.InterleavedTiming` instead, which sets the
        record by :meth:`set_timing`.

        Parameters
        ----------
        anchor
            Session of the anchor, by which the worker's clock is checked; None to skip that check.
        reason
            Why the network is timed alone although its protocol times in rounds; goes to the row and to the warnings.
        """
        _, _, height, width = self.plan.track.output_shape
        self.progress.timing(self.slug, 0, 1, 0.0, f"at {width}x{height}")
        part, self.timed_output = AloneTiming(self.plan, self.worker.running, anchor).measure(reason)
        warnings = [*self.measurement.warnings, *part.warnings]
        self.measurement = self.measurement.updated(part.model_copy(update={"warnings": warnings}))

    def upscale(self, engine: Opener) -> None:
        """Upscale the data sets, measure quality, and end the worker, which never receives HR images."""
        job = None
        # A network without weights is counted and timed, but its images would say nothing.
        if self.measurement.has_weights:
            is_new = not self.measurement.images  # else only data sets were added to a finished run
            if is_new:
                self._upscale_scored(engine)
                job = self.float32_job()
            self._upscale_further()
            if is_new:
                # Far below bicubic? Then the note says whether a wrong value range or BGR images explain it. Last,
                # because it leaves a worker that uses the network in another way, or none.
                first = self.measurement.images[0].psnr_rgb
                self._note(*explain_low_quality(self.plan, self.worker, engine, first))
        self.worker.close()  # before the next one starts: at most one worker of a submission runs at a time
        if job is not None:
            self._compare_with_float32(engine, job)

    def float32_job(self) -> Job | None:
        """Return how the worker that computes in float32 is started; None if there is nothing to compare with.

        The caller of :meth:`upscale` may start it in advance.
        """
        if not self.measurement.has_weights or self.plan.protocol.precision == "fp32":
            return None
        return self.worker.float32_job()

    def _upscale_scored(self, engine: Opener) -> None:
        """Upscale the first data set, the one that is scored, and check that its outputs come from what was timed."""
        # The worker cannot know on which image a graph that it exports will be compared with its outputs.
        kept = int(np.random.default_rng().integers(len(self.plan.dataset)))
        # Sends some images a second time, changed a little: a network that has memorized the images is worse on those.
        recall = RecallCheck(self.plan.dataset, self.size_multiple)
        upscale = recall.watched(lambda index, lr: self._upscale_image(index, lr, keep=index == kept))
        scored: dict[int, NDArray[np.uint8]] = {}

        def upscale_and_keep(index: int, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
            output = upscale(index, lr)
            if index < TIMING_FRAMES:  # timed frames were made of these images
                scored[index] = output
            return output

        images = self.quality_pass.measure(upscale_and_keep)
        self.measurement = self.measurement.updated(QualityPart(images=images))
        figures = recall.judge(images, self._upscale_image)
        self.measurement = self.measurement.updated(QualityPart(recall=figures))
        self._note(*doubts(figures))
        # Baselines are the organiser's own networks.
        if self.plan.timed and self.planned.submission.kind != "baseline":
            self._report("upscale", "at the timed size", done=1.0)
            check_what_was_timed(
                self.plan,
                self.worker.running,
                self.measurement.timing,
                self.timed_output,
                self.timed_parts,
                self.size_multiple,
                scored,
            )
        self.quality_pass.complete()
        if self.scored_image is not None and asks_for_recount(self.plan, self.measurement):
            # The submission's process made the counts. A clean one counts its exported graph again.
            self._report("upscale", "counted again, from its graph", done=1.0)
            self.measurement = recounted(self.measurement, self.worker, engine, self.scored_image)
        if self.plan.request.verify_graph and self.measurement.counted_by != "harness":
            self.graph, self.graph_error = stages.graph(self.worker.running)

    def _upscale_further(self) -> None:
        """Upscale the data sets that the measurement lacks. The checks of the first one are not repeated on them."""
        # Stored after each data set in `measurement`, so that a failure keeps those before it.
        for label, quality in further_passes(self.plan, self.planned, self.measurement):
            images = {quality.dataset.fingerprint: quality.measure(partial(self._upscale_image, label=label))}
            kept = {**self.measurement.further_images, **images}
            self.measurement = self.measurement.updated(QualityPart(further_images=kept))
            quality.complete()

    # Results that are set from outside.

    def resume(self, earlier: Measurement) -> None:
        """Take over what an earlier run had timed when it was stopped, or all of one that lacks data sets."""
        form_now, form_timed = self.measurement.reparam, earlier.reparam
        if form_now is not None and form_timed is not None and form_now.params_after != form_timed.params_after:
            # What is stored is of another form. Nothing of it is used: the first process is timed again.
            self.worker.process = 0
            return
        if earlier.images:
            self.measurement = earlier
            return
        # Only the timing is taken over: loading and counting were repeated in this run's worker.
        part = TimingPart(**{name: getattr(earlier, name) for name in TimingPart.model_fields})
        kept = {"stage_seconds": earlier.stage_seconds, "reparam": form_timed or form_now}
        self.measurement = self.measurement.updated(part).model_copy(update=kept)

    def set_timing(self, timing: TimingRecord | None) -> None:
        """Set or clear the record of the interleaved timing."""
        self.measurement = self.measurement.updated(TimingPart(timing=timing))

    def set_ceilings(self, ceilings: Ceilings | None) -> None:
        """Set the highest rates that the anchor reached on the device in this run, which bound what is plausible."""
        self.measurement = self.measurement.updated(TimingPart(ceilings=ceilings))

    # The end.

    def fail(self, error: WorkerError) -> None:
        """End the worker; keep what was measured before the failure, and why it failed."""
        kind, message = printable(error.kind, _MAX_TEXT), printable(self.worker.submission.named(str(error)), _MAX_TEXT)
        log = printable(error.log, _MAX_TEXT, keep_end=True)
        reason = ErrorInfo(stage=error.stage, type=kind, message=message, log=log)
        statuses: dict[str, Status] = {"UnsupportedError": "unsupported", DISQUALIFIED: "disqualified"}
        status = statuses.get(error.kind, "failed")
        self.measurement = self.measurement.model_copy(update={"status": status, "error": reason})
        self.worker.close()

    def finish(self) -> Measurement:
        """Set the final status, drop timing that will not be done, and return the measurement."""
        if self.measurement.error is None and not self.measurement.has_weights:
            reason = ErrorInfo(stage="load", type="NoWeights", message=f"no weights for x{self.plan.track.scale}")
            self.measurement = self.measurement.model_copy(update={"status": "unsupported", "error": reason})
        self.measurement = disqualify_if_impossible(self.measurement, self.plan.track.output_shape)
        if self.measurement.timing is not None:
            # A network that failed before all its processes were timed still lists the others.
            self.set_timing(self.measurement.timing.model_copy(update={"remaining_work": None}))
        return self.measurement

    # Details.

    def _reparameterize(self, optional: OptionalStages) -> Reparam | None:
        """Make the network's inference forms, unless the run measures every network as it was submitted."""
        policy = self.plan.reparam_policy
        if policy == "none":
            return as_loaded(self.measurement.params or 0)
        self._report("reparameterize")
        return optional.reparameterize(self.plan.proof_frames(), policy, self.plan.used_sizes())

    def _note(self, *notes: str) -> None:
        # Some hold messages of exceptions, in which any text may be.
        said = [printable(note, _MAX_TEXT) for note in notes]
        self.measurement = self.measurement.model_copy(update={"notes": [*self.measurement.notes, *said]})

    def _compare_with_float32(self, engine: Opener, job: Job) -> None:
        """Measure the loss of quality due to the timed precision. If that fails, the row has a note instead."""
        try:
            self.worker.reopen(engine, job)
            images = self.quality_pass.without_files().measure(self._upscale_image)
        except WorkerError as error:
            if error.kind in stages.BREACHES:
                raise
            self._note(f"not compared with float32: {error.what}")
        else:
            psnr = mean_psnr([image.psnr_rgb for image in images], self.plan.track.convention)
            self.measurement = self.measurement.updated(QualityPart(float32_psnr_rgb=psnr))
        self.worker.close()

    def _upscale_image(
        self, index: int, lr: NDArray[np.uint8], *, keep: bool = False, label: str | None = None
    ) -> NDArray[np.uint8]:
        """Upscale one LR image of a data set, H x W x 3, uint8; keep it and the output for a recount."""
        name, done = self.plan.image_at(self.plan.label if label is None else label, index)
        self._report("upscale", name, done=done)
        output = self.worker.running.upscale(lr)
        if keep:
            self.scored_image = lr, output
        return output

    def _report(self, stage: str, detail: str = "", *, done: float = 0.0) -> None:
        self.progress.stage(self.slug, stage, detail, done=done)
