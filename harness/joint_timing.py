"""Submissions timed together, in one process after another of each: what a process adds shows only beside others."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.engines import Ahead
from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.observer import Observer
from harness.plan import Plan
from harness.results import TimingRecord
from harness.subject import Subject
from harness.timing import AnchorLostError, Contender, FrameSource, Rounds, joined
from harness.timing.card import CardWatch
from harness.timing.load import others_share

_BEGIN, _LENGTH = 0.2, 0.3  # of a submission's progress


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

    subject: Subject
    contender: Contender
    records: list[TimingRecord] = field(default_factory=list)
    error: WorkerError | None = None
    lost: WorkerError | None = None

    @property
    def record(self) -> TimingRecord | None:
        """All that was timed of it; None where that is nothing."""
        return joined(self.records) if self.records else None


class JointTiming:
    """Times a group of submissions in rounds.

    Parameters
    ----------
    plan
        What the run is.
    engine
        Starts workers.
    observer
        Hears of every step.
    open_anchor
        Returns the harness's own network, loaded.
    """

    def __init__(self, plan: Plan, engine: Ahead, observer: Observer, open_anchor: Callable[[], Session]) -> None:
        self._plan = plan
        self._engine = engine
        self._observer = observer
        self._open_anchor = open_anchor
        self._frames = FrameSource(plan.timing_frames())
        self._card = CardWatch(plan.device.kind)
        self._session = secrets.token_hex(8)
        self._begin = time.monotonic()
        self._next_round = 0

        self.lost: WorkerError | None = None
        """What took the anchor away, where something did."""

    def run(self, subjects: Sequence[Subject]) -> list[Entrant]:
        """Time all; what becomes of each is in its entrant, errors included."""
        busy, _ = others_share()
        entrants = [Entrant(subject, _contender(subject)) for subject in subjects]
        going, lost = entrants, self._time(entrants, 0)
        for process in range(1, self._plan.protocol.processes):
            going = [one for one in going if one.error is None and process < one.contender.processes]
            if lost is not None or not going:
                break
            self._restart(going)
            lost = self._time([one for one in going if one.error is None], process)
        self.lost = lost
        for entrant in entrants:
            entrant.records = [record.model_copy(update={"busy": busy}) for record in entrant.records]
            if lost is not None and entrant.error is None:
                self._settle(entrant, lost)
        return entrants

    def _settle(self, entrant: Entrant, lost: WorkerError) -> None:
        """Say what an entrant lacks because the anchor failed."""
        if not entrant.records:
            entrant.lost = lost
        elif len(entrant.records) < entrant.contender.processes:
            timed = f"{len(entrant.records)} of {entrant.contender.processes} processes timed"
            note = f"{timed}, because the harness's anchor network failed ({lost.what})"
            entrant.records[-1] = entrant.records[-1].model_copy(update={"note": note})

    def _time(self, entrants: Sequence[Entrant], process: int) -> WorkerError | None:
        """Let the entrants' processes take turns beside the anchor; return what took the anchor away, if anything."""
        contenders = [entrant.contender for entrant in entrants]
        lost = self._run_rounds(contenders, process)
        for entrant in entrants:
            entrant.error = entrant.contender.error
            unfinished = lost is not None and not entrant.contender.done
            if entrant.contender.samples and not unfinished:
                entrant.records.append(entrant.contender.record(self._session))
            if entrant.error is not None:
                entrant.subject.close()  # its memory is for the processes to come
        return lost

    def _run_rounds(self, contenders: list[Contender], process: int) -> WorkerError | None:
        try:
            rounds = Rounds(
                contenders,
                Contender("anchor", self._open_anchor()),
                self._frames,
                self._plan.protocol,
                self._plan.track.scale,
                lambda name, done: self._tell(name, done, process),
                self._session,
                self._plan.device.threads if self._plan.device.kind == "cpu" else None,
                self._card,
                self._next_round,
                self._begin,
            )
            rounds.run()
        except AnchorLostError as error:
            return error.reason
        except WorkerError as error:
            return error
        self._next_round = rounds.number
        return None

    def _tell(self, name: str, done: float, process: int) -> None:
        processes = self._plan.protocol.processes
        which = f", process {process + 1} of {processes}" if processes > 1 else ""
        done = (process + done) / processes
        self._observer.stage("time", f"in rounds: {name}{which}", done=_BEGIN + _LENGTH * done)

    def _restart(self, entrants: Sequence[Entrant]) -> None:
        """Give each a new process; what fails to start once more ends as it would have at first."""
        for entrant in entrants:
            entrant.subject.close()
        self._engine.release()
        self._engine.expect(entrant.subject.job() for entrant in entrants)
        for entrant in entrants:
            self._tell(f"starting {entrant.contender.name}", 0.0, entrant.contender.process + 1)
            try:
                worker = entrant.subject.restart(self._engine)
                worker.pause()
                entrant.contender = entrant.contender.another(worker)
            except WorkerError as error:
                entrant.error = error
        self._engine.hold()


def _contender(subject: Subject) -> Contender:
    assert subject.worker is not None
    contender = Contender(subject.submission.name, subject.worker)
    if subject.is_padded:
        contender.most_calls = 1
    return contender
