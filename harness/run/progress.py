"""Progress of a run: events for whoever follows it, such as the terminal, a file in the run's folder, or a test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.results import Measurement


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first event of a run.

    Attributes
    ----------
    submissions
        Number of networks, baselines included.
    images
        Number of images; 0 where only times are measured.
    """

    submissions: int
    images: int


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
        Estimate for the rest of the run; None if unknown.
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
    """Turns the steps of a run into events.

    Parameters
    ----------
    listeners
        Called with every event, in the thread of the run, which waits for them.
    clock
        Seconds of a monotonic clock.
    """

    def __init__(self, listeners: Sequence[Listener] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._listeners = list(listeners)
        self._clock = clock
        self._names: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def start(self, submissions: Sequence[tuple[str, str]], images: int, timing_s: float | None = None) -> None:
        """Begin a run.

        Parameters
        ----------
        submissions
            Slug and name of each, in order.
        images
            Number of images that each upscales; 0 where none are.
        timing_s
            Seconds that the timing of one network may take; None for no limit.
        """
        self._names = dict(submissions)
        self._numbers = {slug: number for number, (slug, _) in enumerate(submissions, start=1)}
        self._emit(RunStarted(len(submissions), images))

    def stage(self, slug: str, stage: str, detail: str = "", *, done: float = 0.0) -> None:
        """Report a stage of one submission, and which share of that stage is done; `slug` is empty where none is."""
        self._stage(slug, stage, detail, 1, 1)

    def timing(self, slug: str, process: int, processes: int, done: float, detail: str = "") -> None:
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
        """
        self._stage(slug, "time", detail, process + 1, processes)

    def finish(self, slug: str, measurement: Measurement, *, reused: bool) -> None:
        """Report that all of one submission is measured."""
        self._emit(SubmissionFinished(slug, self._names[slug], self._numbers[slug], measurement, reused, 0.0, None))

    def end(self) -> None:
        """Report that nothing more is measured."""
        self._emit(RunFinished())

    def _stage(self, slug: str, stage: str, detail: str, process: int, processes: int) -> None:
        name, number = self._names.get(slug, ""), self._numbers.get(slug, 0)
        self._emit(StageProgress(slug, name, number, stage, detail, process, processes, 0.0, None))

    def _emit(self, event: ProgressEvent) -> None:
        for listener in self._listeners:
            listener(event)
