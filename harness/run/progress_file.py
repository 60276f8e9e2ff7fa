"""Keep the state of a run in a file of its folder during the run, for ``harness serve``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.results.progress import FinishedNetwork, RunProgress, clear_progress, describe_stage, write_progress
from harness.run.progress import ProgressEvent, RunFinished, RunStarted, StageProgress, SubmissionFinished
from harness.text import single_line

_REASON_CHARACTERS = 200


class ProgressFile:
    """Listener that writes the file. As a context manager it removes the file at the end, after an error too.

    Parameters
    ----------
    folder
        The run's folder. Where it cannot be written, there is no file.
    every_s
        Seconds between two writes within a stage, so that a run of many short calls is not slowed down.
    """

    def __init__(self, folder: Path, every_s: float = 1.0) -> None:
        self._folder = folder
        self._every_s = every_s
        self._written = float("-inf")
        self._state = RunProgress(pid=os.getpid(), total=0, done=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clear_progress(self._folder)

    def __call__(self, event: ProgressEvent) -> None:
        """Take over an event, and write the file where the event is a new stage or the last write is long ago."""
        if isinstance(event, RunStarted):
            self._update(at_once=True, total=event.submissions)
        elif isinstance(event, StageProgress):
            self._take_over_stage(event)
        elif isinstance(event, SubmissionFinished):
            finished = [*self._state.finished, _finished(event)]
            self._update(
                # Reused measurements follow one another quickly.
                at_once=not event.reused, done=self._state.done + 1, share=event.share,
                seconds_left=event.seconds_left, finished=finished,
            )  # fmt: skip
        elif isinstance(event, RunFinished):
            self._update(at_once=True, name="", stage="scores and report", detail="", seconds_left=None)

    def _take_over_stage(self, event: StageProgress) -> None:
        self._update(
            at_once=event.stage != self._state.stage,
            name=event.name,
            stage=event.stage,
            detail=event.detail,
            process=event.process,
            processes=event.processes,
            share=event.share,
            seconds_left=event.seconds_left,
            places=self._with_place(event),
        )

    def _with_place(self, event: StageProgress) -> dict[str, str]:
        """Return what all places do."""
        if not event.place:
            return self._state.places
        what = describe_stage(event.stage, event.detail, event.process, event.processes)
        return {**self._state.places, event.place: f"{event.name} {what}"}

    def _update(self, *, at_once: bool, **changes: object) -> None:
        # Kept also where nothing is written, so that the next write has every change.
        self._state = RunProgress.model_validate({**dict(self._state), **changes})
        now = time.monotonic()
        if at_once or now - self._written >= self._every_s:
            self._written = now
            write_progress(self._folder, self._state)


def _finished(event: SubmissionFinished) -> FinishedNetwork:
    error = event.measurement.error
    reason = "" if error is None else single_line(f"{error.stage}: {error.first_line}", _REASON_CHARACTERS)
    return FinishedNetwork(name=event.name, status=event.measurement.status, reason=reason)
