"""Where the time of a run goes: the seconds that each stage of each submission took."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

WHOLE_RUN = ""
"""Stands for the run itself, which waits for another run or starts the anchor network."""


class StageTimes:
    """Adds up wall time by submission and stage.

    A run reports one stage at a time. The time between two reports is that of the first
    one: what overlaps with it, such as the comparison of images with HR beside the upscaling, is in it.

    Parameters
    ----------
    clock
        Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._at_work: tuple[str, str] | None = None
        # Time before the first report belongs to no stage.
        self._since = clock()

    def begin(self, slug: str, stage: str) -> None:
        """End the current stage, and begin one of a submission; `slug` is empty for the run itself."""
        self._spend()
        self._at_work = slug, stage

    def end(self) -> None:
        """End the current stage. There is none until the next one begins."""
        self._spend()
        self._at_work = None

    def of(self, slug: str) -> dict[str, float]:
        """Return the seconds of each stage of a submission so far, in the order in which they first began."""
        # The current stage counts up to now.
        self._spend()
        return dict(self._seconds[slug]) if slug in self._seconds else {}

    def _spend(self) -> None:
        now = self._clock()
        if self._at_work is not None:
            slug, stage = self._at_work
            self._seconds[slug][stage] += now - self._since
        self._since = now
