"""Submissions timed together, in one process after another of each: what a process adds shows only beside others."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.engines import PrefetchingEngine
from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.machine.gpu_state import GpuMonitor
from harness.machine.load import others_share
from harness.results import TimingRecord
from harness.results.measurement import RemainingWork
from harness.run.plan import Plan
from harness.run.progress import Progress
from harness.run.submission_run import SubmissionRun
from harness.statistics.runtime_summary import joined
from harness.timing import AnchorLostError, Contender, FrameSource, Rounds


@dataclass(slots=True)
class Entrant:
    """A submission in a joint timing.

    Attributes
    ----------
    subject
        The submission, loaded.
    contender
        Its process of the moment.
    records
        What its processes gave, in order; those that gave nothing are not in it.
    error
        What ended it, where something did.
    lost
        Why it could not be timed beside the anchor, where the anchor failed before it had any time.
    """

    subject: SubmissionRun
    contender: Contender
    records: list[TimingRecord] = field(default_factory=list)
    error: WorkerError | None = None
    lost: WorkerError | None = None

    @property
    def record(self) -> TimingRecord | None:
        """All that was timed of it; None where that is nothing."""
        return joined(self.records) if self.records else None

    @property
    def processes_left(self) -> int:
        """How many of its processes come after that of the moment."""
        return self.contender.processes - self.contender.process - 1


class InterleavedTiming:
    """Times a group of submissions in rounds.

    Parameters
    ----------
    plan
        What the run is.
    engine
        Starts workers.
    progress
        Receives every step.
    open_anchor
        Returns the harness's own network, loaded, and a name that no other process of it has.
    keep
        Hears, between two processes, what there is of a submission's timing, so that a run that is stopped later can
        go on from there; and None of one that failed.
    """

    def __init__(
        self,
        plan: Plan,
        engine: PrefetchingEngine,
        progress: Progress,
        open_anchor: Callable[[], tuple[Session, str]],
        keep: Callable[[SubmissionRun, TimingRecord | None], None],
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._progress = progress
        self._open_anchor = open_anchor
        self._keep = keep
        self._frames = FrameSource(plan.timing_frames())
        self._card = GpuMonitor(plan.device.kind)
        self._session = secrets.token_hex(8)
        self._begin = time.monotonic()
        self._busy = 0.0
        self._anchor = ""
        self._entrants: list[Entrant] = []
        self._next_round = 0
        self._pass = 0

        self.lost: WorkerError | None = None
        """What took the anchor away, where something did."""

    def run(self, subjects: Sequence[SubmissionRun]) -> list[Entrant]:
        """Time all; what becomes of each is in its entrant, errors included."""
        self._busy, _ = others_share()
        entrants = self._entrants = [Entrant(subject, _contender(subject)) for subject in subjects]
        self._resume(entrants)
        going, lost = entrants, self._time(entrants)
        while lost is None:
            going = [one for one in going if one.error is None and one.processes_left]
            if not going:
                break
            self._keep_all(entrants)
            self._pass += 1
            self._restart(going)
            lost = self._time([one for one in going if one.error is None])
        self.lost = lost
        for entrant in entrants:
            entrant.subject.timed_output = entrant.contender.timed
            if lost is not None and entrant.error is None:
                self._settle(entrant, lost)
        return entrants

    def _resume(self, entrants: Sequence[Entrant]) -> None:
        """Go on with what was stopped between two processes; of several joint timings, with the first one's."""
        stopped = [(one, timing) for one in entrants if (timing := one.subject.measurement.timing) is not None]
        if not stopped:
            return
        self._session = stopped[0][1].session
        for entrant, timing in stopped:
            if timing.session == self._session and timing.remaining_work is not None:
                self._continue(entrant, timing, timing.remaining_work)
            else:
                entrant.subject.keep_timing(None)
                entrant.subject.worker.process = 0
        # Others may go on with the same session, in another group or in a run of their own: no round is to have the
        # number of one of theirs. Odd rounds stay odd.
        self._next_round += 2 * secrets.randbelow(1 << 40)
        self._pass = min(entrant.contender.process for entrant in entrants)
        self._card = GpuMonitor(self._plan.device.kind, begin=self._begin)

    def _continue(self, entrant: Entrant, timing: TimingRecord, remaining_work: RemainingWork) -> None:
        self._next_round = max(self._next_round, remaining_work.next_round)
        self._begin = min(self._begin, time.monotonic() - max(at_s for at_s, _ in timing.samples))
        entrant.records.append(timing.model_copy(update={"to_come": None}))
        contender = entrant.contender
        contender.process = 1 + max(turn.process for turn in timing.rounds)
        contender.processes = contender.process + remaining_work.processes
        contender.probed = contender.process + int(self._frames.rng.integers(remaining_work.processes))

    def _keep_all(self, entrants: Sequence[Entrant]) -> None:
        """Let all that was timed so far be stored, also of what is done."""
        for entrant in entrants:
            left = entrant.processes_left
            if entrant.record is not None and entrant.error is None:
                remaining_work = RemainingWork(processes=left, next_round=self._next_round) if left else None
                self._keep(entrant.subject, entrant.record.model_copy(update={"to_come": remaining_work}))

    def _settle(self, entrant: Entrant, lost: WorkerError) -> None:
        """Say what an entrant lacks because the anchor failed."""
        if entrant.record is None:
            entrant.lost = lost
        elif 0 < (count := len({turn.process for turn in entrant.record.rounds})) < entrant.contender.processes:
            timed = f"{count} of {entrant.contender.processes} processes timed"
            note = f"{timed}, because the harness's anchor network failed ({lost.what})"
            last = entrant.records[-1]
            entrant.records[-1] = last.model_copy(update={"note": "; ".join(filter(None, [last.note, note]))})

    def _time(self, entrants: Sequence[Entrant]) -> WorkerError | None:
        """Let the entrants' processes take turns beside the anchor; return what took the anchor away, if anything."""
        contenders = [entrant.contender for entrant in entrants]
        lost = self._run_rounds(contenders)
        for entrant in entrants:
            entrant.error = entrant.contender.error
            unfinished = lost is not None and not entrant.contender.done
            if entrant.contender.samples and not unfinished:
                record = entrant.contender.record(self._session)
                entrant.records.append(record.model_copy(update={"busy": self._busy, "anchor": self._anchor}))
            if entrant.error is not None:
                entrant.subject.worker.close()  # its memory is for the processes to come
        return lost

    def _run_rounds(self, contenders: list[Contender]) -> WorkerError | None:
        try:
            anchor, self._anchor = self._open_anchor()
            rounds = Rounds(
                contenders,
                Contender("anchor", anchor),
                self._frames,
                self._plan.protocol,
                self._plan.track.scale,
                self._tell,
                self._session,
                self._plan.device.threads if self._plan.device.kind == "cpu" else None,
                self._card,
                self._next_round,
                self._begin,
                self._dismiss,
            )
            rounds.run()
        except AnchorLostError as error:
            return error.reason
        except WorkerError as error:
            return error
        self._next_round = rounds.number
        return None

    def _tell(self, name: str, done: float) -> None:
        """Report whose turn it is, and which share of this process's timing is done."""
        slugs = [one.subject.slug for one in self._entrants if one.contender.name == name]
        self._progress.timing(slugs[0] if slugs else "", self._pass, self._plan.protocol.processes, done)

    def _restart(self, entrants: Sequence[Entrant]) -> None:
        """Give each a new process; what fails to start once more ends as it would have at first."""
        for entrant in entrants:
            entrant.subject.worker.close()
            entrant.subject.worker.process = entrant.contender.process + 1
        self._engine.release()
        self._engine.expect(entrant.subject.worker.job() for entrant in entrants)
        for entrant in entrants:
            self._tell(entrant.contender.name, 0.0)
            try:
                worker = entrant.subject.worker.restart(self._engine)
                worker.pause()
                entrant.contender = entrant.contender.another(worker)
            except WorkerError as error:
                entrant.error = entrant.contender.error = error
                entrant.subject.worker.close()
                self._dismiss(entrant.contender)
        self._engine.hold()

    def _dismiss(self, contender: Contender) -> None:
        """Let nothing be kept of one that failed: should the run be stopped, the next one is to find that out again."""
        for entrant in self._entrants:
            if entrant.contender is contender:
                self._keep(entrant.subject, None)


def _contender(subject: SubmissionRun) -> Contender:
    return Contender(subject.planned.submission.name, subject.worker.running)
