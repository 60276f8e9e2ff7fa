"""What a run tells while it goes on: the terminal listens, tests listen, a server may."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from harness.results import Measurement
from harness.results.progress import Progress, clear_progress, write_progress


class Observer(Protocol):
    """Hears of every step of a run; the run does not wait for it."""

    def run_begins(self, submissions: int, images: int) -> None:
        """Tell how much there is to do."""
        ...

    def submission_begins(self, name: str) -> None:
        """Tell that a submission's turn has come, or has come again after it was timed with others."""
        ...

    def stage(self, name: str, detail: str = "", *, done: float) -> None:
        """Tell which stage the submission is at, and which share of its work is done, 0 to 1."""
        ...

    def submission_ends(self, name: str, measurement: Measurement, *, reused: bool) -> None:
        """Tell how it ended, and whether the figures are from an earlier run."""
        ...

    def run_ends(self) -> None:
        """Tell that the last submission is done."""
        ...


class Silent:
    """Hears everything and says nothing."""

    def run_begins(self, submissions: int, images: int) -> None:
        """Say nothing."""

    def submission_begins(self, name: str) -> None:
        """Say nothing."""

    def stage(self, name: str, detail: str = "", *, done: float) -> None:
        """Say nothing."""

    def submission_ends(self, name: str, measurement: Measurement, *, reused: bool) -> None:
        """Say nothing."""

    def run_ends(self) -> None:
        """Say nothing."""


class Recorded:
    """Passes on what it hears, and keeps the state of the run in a file of its folder while the run goes on.

    Parameters
    ----------
    listener
        Who else wants to hear.
    folder
        The run's folder, which exists.
    every_s
        Seconds between two writes within a stage: a run of many short calls is not disturbed.
    """

    def __init__(self, listener: Observer, folder: Path, every_s: float = 1.0) -> None:
        self._listener = listener
        self._folder = folder
        self._every_s = every_s
        self._written = 0.0
        self._total = 0
        self._shares: dict[str, float] = {}
        self._ended = 0
        self._name = self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clear_progress(self._folder)

    def run_begins(self, submissions: int, images: int) -> None:
        """Note how much there is to do."""
        self._total = submissions
        self._write()
        self._listener.run_begins(submissions, images)

    def submission_begins(self, name: str) -> None:
        """Note whose turn it is; its first stage, if it is not known already, is written at once."""
        self._name, self._stage = name, ""
        self._listener.submission_begins(name)

    def stage(self, name: str, detail: str = "", *, done: float) -> None:
        """Note what is done, at once where it is something else; in rounds the detail names the network at work."""
        said = detail
        if detail.startswith("in rounds: "):
            detail, self._name = "in rounds", detail.removeprefix("in rounds: ")
        self._shares[self._name] = max(done, self._shares.get(self._name, 0.0))
        if name != self._stage.partition(" ")[0] or time.monotonic() - self._written > self._every_s:
            self._stage = f"{name} {detail}".strip()
            self._write()
        self._listener.stage(name, said, done=done)

    def submission_ends(self, name: str, measurement: Measurement, *, reused: bool) -> None:
        """Note that one is done."""
        self._shares[name] = 1.0
        self._ended += 1
        if not reused or time.monotonic() - self._written > self._every_s:
            self._write()
        self._listener.submission_ends(name, measurement, reused=reused)

    def run_ends(self) -> None:
        """Pass it on; the table is still to be written."""
        self._stage = "results"
        self._write()
        self._listener.run_ends()

    def _write(self) -> None:
        self._written = time.monotonic()
        share = sum(self._shares.values()) / self._total if self._total else 0.0
        write_progress(
            self._folder,
            Progress(
                pid=os.getpid(),
                total=self._total,
                done=self._ended,
                share=min(1.0, share),
                name=self._name,
                stage=self._stage,
            ),
        )
