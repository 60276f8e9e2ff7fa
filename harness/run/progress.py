"""Progress of a run: events for listeners, such as the terminal, a file in the run's folder, or a test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.faults import mark_as_of_the_run
from harness.results import Measurement
from harness.run.remaining_time import RemainingTime, Work
from harness.run.stage_times import StageTimes
from harness.text import printable, single_line

_PREPARED = {"install": 0.0, "start": 0.0, "load": 0.3, "reparameterize": 0.5, "count": 0.6, "prepare": 0.9}
"""Share of a submission's preparation that is done when a stage begins."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first event of a run.

    Attributes
    ----------
    submissions
        Number of networks, baselines included.
    images
        Number of images; 0 where only times are measured.
    note
        What was decided in place of the user; empty if nothing was.
    """

    submissions: int
    images: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """What a run is doing.

    Attributes
    ----------
    slug, name
        The submission; both empty where the run waits.
    number
        Its place in the run, from 1.
    stage
        ``wait``, ``install``, ``start``, ``load``, ``reparameterize``, ``count``, ``prepare``, ``time``, ``upscale``.
    detail
        More about it in words, such as an image's name.
    process, processes
        In ``time``: which process of the network is timed, from 1, and of how many. Both are 1 elsewhere.
    share
        Part of the whole run that is done, 0 to 1. It never falls, and is below 1 until the run ends.
    seconds_left
        Estimate for the rest of the run; None while the run waits for another one.
    stage_seconds_left
        Estimate for the rest of this stage; None if unknown. A listener that counts down `seconds_left` stops after
        as many seconds: a stage that takes longer than expected does not shorten what comes after it.
    """

    slug: str
    name: str
    number: int
    stage: str
    detail: str
    process: int
    processes: int
    share: float
    seconds_left: float | None
    stage_seconds_left: float | None = None
    place: str = ""
    """Where it is done in a run with several places; empty in a run with one."""


@dataclass(frozen=True, slots=True)
class SubmissionFinished:
    """One submission is measured, or its measurement was found in the store.

    Attributes
    ----------
    slug, name, number, share, seconds_left
        As in :class:`StageProgress`.
    measurement
        All that was measured, or why it failed.
    reused
        Whether it is of an earlier run.
    """

    slug: str
    name: str
    number: int
    measurement: Measurement
    reused: bool
    share: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event: everything is measured, and the table is about to be written."""


ProgressEvent = RunStarted | StageProgress | SubmissionFinished | RunFinished
Listener = Callable[[ProgressEvent], None]


class Progress:
    """Turns the steps of a run into events, and adds up what each took.

    Parameters
    ----------
    listeners
        Called with every event, in the thread of the run, which waits for them. What a listener raises ends the run.
    clock
        Seconds of a monotonic clock.

    Attributes
    ----------
    stage_times
        Seconds of each stage of each submission.
    """

    def __init__(self, listeners: Sequence[Listener] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._listeners = list(listeners)
        self._clock = clock
        self.stage_times = StageTimes(clock)
        self._names: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._processes: dict[str, int] = {}
        self._remaining = RemainingTime([], 0, None)
        self._share = 0.0
        self._places = 1
        # By the name of the place; a run with one place uses the empty name.
        self._work: dict[str, tuple[str, Work]] = {}
        self._stages: dict[str, str] = {}
        self._since: dict[str, float] = {}

    def start(
        self,
        submissions: Sequence[tuple[str, str]],
        images: int,
        timing_s: float | None = None,
        processes: int = 1,
        places: int = 1,
        note: str = "",
    ) -> None:
        """Begin a run.

        Parameters
        ----------
        submissions
            Slug and name of each, in order.
        images
            Number of images that each upscales; 0 where none are.
        timing_s
            Seconds that the timing of one network may take; None for no limit.
        processes
            Number of processes that a network is timed in, if it is known.
        places
            Number of places that work at the same time.
        note
            What was decided in place of the user.
        """
        self._places = places
        self._names = {slug: single_line(name, 300) for slug, name in submissions}
        self._numbers = {slug: number for number, (slug, _) in enumerate(submissions, start=1)}
        self._remaining = RemainingTime(list(self._names), images, timing_s, processes)
        self._emit(RunStarted(len(submissions), images, note))

    def stage(self, slug: str, stage: str, detail: str = "", *, done: float = 0.0, place: str = "") -> None:
        """Report a stage of one submission, and which share of that stage is done; `slug` is empty where none is."""
        work: Work = "upscale" if stage == "upscale" else "prepare"
        self._begin(slug, None if stage == "wait" else work, place)
        if work == "upscale":
            # Images come last, so everything before them is done, or was done by an earlier run.
            self._remaining.complete(slug, "prepare", "time", "restart")
            self._remaining.advance_share(slug, "upscale", done)
        else:
            self._remaining.advance_share(slug, "prepare", _PREPARED.get(stage, 0.0))
        self._report_stage(slug, stage, detail, (1, 1), place)

    def timing(
        self, slug: str, process: int, processes: int, done: float, detail: str = "", *, place: str = ""
    ) -> None:
        """Report the timing of one network.

        Parameters
        ----------
        slug
            Which one.
        process, processes
            Which of its processes is timed, from 0, and in how many it is timed.
        done
            Share of this process's timing that is done.
        detail
            More about it.
        place
            Where, in a run with several places.
        """
        restarts = process > self._processes.get(slug, 0)  # the first report of a further process is of its start
        self._processes[slug] = process
        self._begin(slug, "restart" if restarts else "time", place)
        self._remaining.complete(slug, "prepare")
        self._remaining.advance_timing(slug, process, processes, done)
        # While a process starts, its own restart is not done yet.
        self._remaining.advance(slug, "restart", process - 1 if restarts else process)
        self._report_stage(slug, "time", detail, (process + 1, processes), place)

    def finish(self, slug: str, measurement: Measurement, *, reused: bool) -> None:
        """Report that all of one submission is measured."""
        # All places, so that the time of what goes on elsewhere is in the estimate that is reported with this event.
        for place, (other, _) in list(self._work.items()):
            self._spend(place)
            if other == slug:
                del self._work[place]
        self.stage_times.end()
        self._remaining.finish(slug, succeeded=not reused and measurement.error is None)
        left_s = self._seconds_left()
        name, number, share = self._names[slug], self._numbers[slug], self._share_done(left_s)
        self._emit(SubmissionFinished(slug, name, number, measurement, reused, share, left_s))

    def stage_of(self, slug: str) -> str:
        """Return the stage of a submission that was reported last; ``prepare`` if there was none."""
        return self._stages.get(slug, "prepare")

    def end(self) -> None:
        """Report that nothing more is measured."""
        self.stage_times.end()
        self._emit(RunFinished())

    def _begin(self, slug: str, work: Work | None, place: str) -> None:
        """End the work that was reported last, and begin another.

        A submission is prepared without interruption: when another one follows there, its preparation is complete.
        """
        self._spend(place)
        before = self._work.pop(place, None)
        if before is not None and before[0] != slug and before[1] == "prepare":
            self._remaining.complete(before[0], "prepare")
        if slug in self._numbers and work is not None:
            self._work[place] = slug, work

    def _spend(self, place: str) -> None:
        """Add the time since the last report of a place to the work that it reported then."""
        now = self._clock()
        if place in self._work:
            self._remaining.spend(*self._work[place], now - self._since[place])
        self._since[place] = now

    def _seconds_left(self) -> float:
        """Return the estimate for the rest of the run: its places share the work."""
        return self._remaining.seconds_left() / self._places

    def _share_done(self, left_s: float) -> float:
        """Return the share of the run that is done. It stays where it is while the estimate of the rest grows."""
        spent_s = self._remaining.spent_s
        # Estimates were divided by the number of places; seconds of work are compared here, so it is undone.
        self._share = max(self._share, spent_s / (spent_s + left_s * self._places))
        return self._share

    def _report_stage(self, slug: str, stage: str, detail: str, process: tuple[int, int], place: str) -> None:
        self._stages[slug] = stage
        if not place:  # with several places, several stages run at once: each place adds up its own
            self.stage_times.begin(slug, stage)
        left_s = self._seconds_left()
        event = StageProgress(
            slug=slug,
            name=self._names.get(slug, ""),
            number=self._numbers.get(slug, 0),
            stage=stage,
            detail=printable(detail, 300),
            process=process[0],
            processes=process[1],
            share=self._share_done(left_s),
            seconds_left=None if stage == "wait" else left_s,
            stage_seconds_left=self._remaining.seconds_left_of(*self._work[place]) if place in self._work else None,
            place=place,
        )
        self._emit(event)

    def _emit(self, event: ProgressEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as error:
                # Otherwise the exception would count as a failure of the submission whose stage is reported.
                mark_as_of_the_run(error)
                raise
