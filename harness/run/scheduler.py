"""Who is on the bench: submissions that are loaded, timed alone or together, upscaled, and let go.

Under a protocol that times alone, one submission is there at a time. Under one that times in rounds, as many as
the memory holds; the anchor network ties the groups together.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil

from harness.engines import Engine, Job, PrefetchingEngine
from harness.errors import SubmissionError, WorkerError
from harness.isolation.session import Session
from harness.machine.device_lock import device_lock
from harness.results import ErrorInfo, Measurement, RunStore, TimingRecord
from harness.results.schema import Ceilings, Status
from harness.run.interleaved import InterleavedTiming
from harness.run.plan import Plan, PlannedSubmission
from harness.run.progress import Progress
from harness.run.submission_run import SubmissionRun, empty_measurement, job_for
from harness.submissions.discovery import BrokenSubmission, Submission, discover
from harness.text import printable

_ANCHOR = Path(__file__).resolve().parents[1] / "timing" / "anchor"
_SHARE_OF_MEMORY = 0.7
_BASE_BYTES = 600 << 20  # a worker with torch, a frame, the copy of an output, and the memory it shares
_UNKNOWN_BYTES = 2 << 30
_OUT_OF_MEMORY = frozenset({"OutOfMemoryError", "MemoryLimit", "MemoryError", "AcceleratorError"})


class Scheduler:
    """Takes submissions one by one and measures them in groups; what is finished is stored at once.

    Parameters
    ----------
    plan
        What the run is.
    store
        Where measurements are kept.
    engine
        Opens workers.
    progress
        Receives every step.
    with_quality
        Whether images are upscaled and compared after the timing.
    """

    def __init__(
        self, plan: Plan, store: RunStore, engine: Engine, progress: Progress, *, with_quality: bool = True
    ) -> None:
        self._plan = plan
        self._store = store
        self._engine = PrefetchingEngine(engine)
        self._expected = False
        self._reserved = ExitStack()
        self._is_reserved = False
        self._progress = progress
        self._with_quality = with_quality
        self._group: list[tuple[PlannedSubmission, SubmissionRun]] = []
        self._crowded_out: list[PlannedSubmission] = []
        self._needed = 0
        self._capacity = 0.0
        self._ceilings: Ceilings | None = None
        self._ceilings_asked = False
        self._anchor: tuple[Session, str] | None = None
        self._anchor_failed = False
        self._done: dict[str, Measurement] = {}
        self._crops = plan.crop_store()

    def take(self, planned: PlannedSubmission) -> None:
        """Take a submission from the store, or load it and, when the bench is full, measure the group."""
        stored = self._stored(planned)
        if stored is not None:
            self._finish(planned, stored, reused=True)
            return
        subject = self._admit(planned)
        if subject is None:
            return
        self._reserve()
        if not self._expected:
            self._foresee()
        earlier = self._store.unfinished(planned.fingerprint)
        subject.process = _processes_of(earlier)  # what they printed stays in the log
        if not self._guarded(planned, subject, lambda: subject.prepare(self._engine)):
            return
        if earlier is not None and earlier.timing is not None:
            subject.resume(earlier)
        if subject.is_timed:
            self._complete(planned, subject)
        elif self._plan.protocol.order == "rounds":
            self._join(planned, subject)
        else:
            self._group.append((planned, subject))
            self.measure()

    def _reserve(self) -> None:
        """Have the device alone from the first worker on: what loads or upscales disturbs who times."""
        if not self._is_reserved:
            waiting = partial(self._progress.stage, "", "wait", "for another run on this device")
            self._reserved.enter_context(device_lock(self._plan.device.kind, waiting))
            self._is_reserved = True

    def _foresee(self) -> None:
        """Let workers start ahead: of what is not in the store, then the anchor's."""
        self._expected = True
        if self._plan.protocol.order != "rounds" or self._plan.request.install:
            return  # nothing may be imported beside what is timed alone; an environment is made before its worker
        self._engine.expect(self._job(planned) for planned in self._plan.submissions if self._will_start(planned))
        self._engine.expect([self._anchor_job()])

    def _will_start(self, planned: PlannedSubmission) -> bool:
        return self._refusal(planned.submission) is None and self._stored(planned) is None

    def _job(self, planned: PlannedSubmission) -> Job:
        assert isinstance(planned.submission, Submission)
        log = self._store.log_path(planned.submission.slug)
        request = self._plan.request
        job = job_for(self._plan, planned.submission, self._plan.protocol.precision, log, backend=request.backend)
        return replace(job, process=_processes_of(self._store.unfinished(planned.fingerprint)))

    def _stored(self, planned: PlannedSubmission) -> Measurement | None:
        """Return the measurement of an earlier run, where it stands."""
        stored = self._store.measurement(planned.fingerprint)
        if stored is None or self._to_be_tried_again(stored) or self._lacks_images(planned, stored):
            return None
        return stored

    def _lacks_images(self, planned: PlannedSubmission, stored: Measurement) -> bool:
        outputs = self._plan.outputs_of(planned)
        return outputs is not None and stored.status == "ok" and not outputs.is_complete(self._plan.dataset.names)

    def _to_be_tried_again(self, stored: Measurement) -> bool:
        """Tell whether a stored row may end otherwise now: what was missing here may have been installed since."""
        if stored.error is not None and stored.error.type == "UnsupportedError":
            return True
        if stored.error is not None and stored.error.type == "CheckpointError" and self._plan.request.trust_pickle:
            return True
        return self._plan.request.retry_failed and stored.status in {"failed", "disqualified"}

    def measure(self) -> None:
        """Time the group, upscale with each of it, and let it go."""
        self._engine.hold()
        if self._plan.protocol.order == "rounds":
            self._time_in_rounds()
        elif self._group:
            anchor = self._lone_anchor()
            self._each(lambda subject: subject.time_alone(anchor=anchor))
        for _, subject in self._group:
            subject.keep_ceilings(self._ceilings)
        self._engine.release()
        crowded_out = self._crowded_out
        self._crowded_out = []
        for _, subject in self._group:
            self._store.save_unfinished(subject.measured)
        group, self._group = self._group, []
        again = [subject.float32_job() if self._with_quality else None for _, subject in group]
        self._engine.expect(job for job in again if job is not None)
        for (planned, subject), job in zip(group, again, strict=True):
            self._complete(planned, subject)
            if job is not None:  # where it was not upscaled
                self._engine.forget(job)
        self._needed = 0
        for planned in crowded_out:
            self._try_alone(planned)

    def _complete(self, planned: PlannedSubmission, subject: SubmissionRun) -> None:
        """Do what comes after the timing."""
        if self._guarded(planned, subject, lambda: self._upscale(subject)):
            self._finish(planned, subject.finish())

    def done(self) -> list[tuple[PlannedSubmission, Measurement]]:
        """Return all that is measured, in the plan's order."""
        planned_and_done = ((planned, self._done.get(planned.submission.slug)) for planned in self._plan.submissions)
        return [(planned, measurement) for planned, measurement in planned_and_done if measurement is not None]

    def close(self) -> None:
        """End every worker that is still there, and let other runs have the device."""
        self._engine.close()
        self._reserved.close()

    def _admit(self, planned: PlannedSubmission) -> SubmissionRun | None:
        """Return a submission that can be tried; of others the row is made here."""
        submission = planned.submission
        refusal = self._refusal(submission)
        if refusal is not None:
            self._reject(planned, *refusal)
            return None
        assert isinstance(submission, Submission)
        empty = empty_measurement(planned.fingerprint, self._plan.request.backend)
        log = self._store.log_path(submission.slug)
        outputs = self._plan.outputs_of(planned)
        return SubmissionRun(self._plan, submission, self._progress, empty, log, self._crops, outputs)

    def _refusal(self, submission: Submission | BrokenSubmission) -> tuple[Status, str, Exception] | None:
        """Return the row's status, stage and error where there is no use in starting it."""
        if isinstance(submission, BrokenSubmission):
            return "failed", "discover", submission.error
        scale = self._plan.track.scale
        if scale not in submission.manifest.scales:
            supported = ", ".join(f"x{scale}" for scale in submission.manifest.scales)
            return "unsupported", "plan", SubmissionError(f"does not support x{scale} (supports {supported})")
        backend, backends = self._plan.request.backend, submission.manifest.backends
        if backends is not None and backend not in backends:
            return (
                "unsupported",
                "plan",
                SubmissionError(f"cannot run with backend {backend} (runs in {', '.join(backends)})"),
            )
        return None

    def _join(self, planned: PlannedSubmission, subject: SubmissionRun) -> None:
        """Let a loaded submission wait for its group, after the group before it if both do not fit the memory."""
        if not self._guarded(planned, subject, lambda: self._weigh(subject)):
            return
        need = _BASE_BYTES + (subject.measured.peak_memory_bytes or _UNKNOWN_BYTES)
        if self._group and self._needed + need > self._capacity:
            self.measure()
        if not self._group:
            self._capacity = _SHARE_OF_MEMORY * _free_bytes(self._plan)
        self._needed += need
        self._group.append((planned, subject))

    def _weigh(self, subject: SubmissionRun) -> None:
        self._progress.stage(subject.submission.slug, "prepare", "(peak memory)")
        subject.measure_memory()
        assert subject.worker is not None
        subject.worker.pause()

    def _time_in_rounds(self) -> None:
        if not self._group:
            return
        timing = InterleavedTiming(self._plan, self._engine, self._progress, self._open_anchor, self._keep)
        entrants = timing.run([subject for _, subject in self._group])
        if timing.lost is not None:
            self._drop_anchor()
        for (planned, subject), entrant in zip(list(self._group), entrants, strict=True):
            if entrant.record is not None:
                subject.keep_timing(entrant.record)
            if entrant.error is not None and entrant.error.kind in _OUT_OF_MEMORY and len(entrants) > 1:
                subject.close()
                self._group.remove((planned, subject))
                self._crowded_out.append(planned)
            elif entrant.error is not None:
                self._fail(planned, subject, entrant.error)
            elif entrant.lost is not None:
                self._time_alone_instead(planned, subject, entrant.lost)

    def _keep(self, subject: SubmissionRun, timing: TimingRecord | None) -> None:
        """Store what there is of a timing, for a run that is stopped before its end; None of one that failed."""
        if timing is None:
            self._store.forget_unfinished(subject.measured.fingerprint)
            return
        subject.keep_timing(timing)
        subject.keep_ceilings(self._ceilings)
        self._store.save_unfinished(subject.measured)

    def _time_alone_instead(self, planned: PlannedSubmission, subject: SubmissionRun, lost: WorkerError) -> None:
        reason = f"timed alone, not in rounds, because the harness's anchor network failed ({lost.what})"
        self._guarded(planned, subject, lambda: subject.time_alone(reason))

    def _anchor_job(self) -> Job:
        return job_for(self._plan, _anchor(), self._plan.protocol.precision, None)

    def _open_anchor(self) -> tuple[Session, str]:
        """Return the harness's own network and its process's name; it also learns what the device does at best.

        One process serves the whole run, so that what it adds is in the times of all networks alike.
        """
        for _, subject in self._group:
            if subject.worker is not None:
                subject.worker.pause()
        if self._anchor is not None and self._anchor[0].alive():
            return self._anchor
        self._progress.stage("", "start", "of the anchor network")
        worker = self._engine.open(self._anchor_job())
        try:
            worker.load()
            if not self._ceilings_asked:
                self._ceilings_asked = True
                self._ceilings = worker.ceilings()
        except WorkerError as error:
            worker.close()
            if error.stage == "ceilings":  # then a remark is missing, no measurement
                return self._open_anchor()
            raise
        worker.pause()
        self._anchor = worker, secrets.token_hex(8)
        return self._anchor

    def _drop_anchor(self) -> None:
        """End the anchor's process, which failed: it may answer still, and never be of use again."""
        if self._anchor is not None:
            self._anchor[0].close()
            self._anchor = None

    def _lone_anchor(self) -> Session | None:
        """Return the anchor for protocols that time alone, by which clocks are judged; None where it fails."""
        if not self._anchor_failed:
            try:
                return self._open_anchor()[0]
            except WorkerError:
                self._anchor_failed = True
        return None

    def _try_alone(self, planned: PlannedSubmission) -> None:
        """Measure what found no room among others once more, in a group of one."""
        subject = self._admit(planned)
        if subject is not None and self._guarded(planned, subject, lambda: subject.prepare(self._engine)):
            self._group.append((planned, subject))
            self.measure()

    def _upscale(self, subject: SubmissionRun) -> None:
        if self._with_quality:
            subject.upscale(self._engine)
        subject.close()

    def _each(self, step: Callable[[SubmissionRun], None]) -> None:
        for planned, subject in list(self._group):
            self._guarded(planned, subject, lambda subject=subject: step(subject))  # type: ignore[misc]

    def _guarded(self, planned: PlannedSubmission, subject: SubmissionRun, step: Callable[[], None]) -> bool:
        """Take a step; whatever goes wrong in the worker becomes the submission's row. Return whether it went well."""
        try:
            step()
        except WorkerError as error:
            self._fail(planned, subject, error)
            return False
        return True

    def _fail(self, planned: PlannedSubmission, subject: SubmissionRun, error: WorkerError) -> None:
        subject.fail(error)
        if (planned, subject) in self._group:
            self._group.remove((planned, subject))
        self._finish(planned, subject.finish())

    def _reject(self, planned: PlannedSubmission, status: Status, stage: str, error: Exception) -> None:
        message = printable(str(error), 4000)  # a file name in it may hold what no JSON can
        reason = ErrorInfo(stage=stage, type=type(error).__name__, message=message)
        empty = empty_measurement(planned.fingerprint, self._plan.request.backend)
        self._finish(planned, empty.model_copy(update={"status": status, "error": reason}))

    def _finish(self, planned: PlannedSubmission, measurement: Measurement, *, reused: bool = False) -> None:
        if not reused:
            self._store.save_measurement(measurement)
        self._done[planned.submission.slug] = measurement
        self._progress.finish(planned.submission.slug, measurement, reused=reused)


def _anchor() -> Submission:
    (found,) = discover([_ANCHOR], entry_points=False)
    assert isinstance(found, Submission)
    return found


def _processes_of(earlier: Measurement | None) -> int:
    """Return in how many processes a network was timed before its run was stopped."""
    if earlier is None or earlier.timing is None:
        return 0
    return 1 + max((turn.process for turn in earlier.timing.rounds), default=0)


def _free_bytes(plan: Plan) -> float:
    """Return the memory that networks may share: what is free on the host, or all of the accelerator's."""
    if plan.device.kind == "cpu":
        return psutil.virtual_memory().available
    return plan.device.memory_bytes or math.inf
