"""What a run tells while it goes on: the terminal listens, tests listen, a server may."""

from __future__ import annotations

from typing import Protocol

from harness.results import Measurement


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
