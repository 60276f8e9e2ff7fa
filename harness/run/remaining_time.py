"""Estimate how many seconds a run still takes, from what its finished parts took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

Work = Literal["prepare", "time", "restart", "upscale"]
"""What is done with one submission.

``prepare``: start a worker, load, reparameterize and count; one unit for each submission.
``time``: the calls that are timed, and the checks beside them; one unit for each submission.
``restart``: start, load and reparameterize again for a further process; one unit for each such process.
``upscale``: upscale the images and measure their quality; one unit for each image.
"""

DEFAULT_S: Mapping[Work, float] = {"prepare": 8.0, "time": 30.0, "restart": 5.0, "upscale": 1.0}
"""Seconds that one unit takes, before anything is known."""
PRIOR_UNITS: Mapping[Work, float] = {"prepare": 0.5, "time": 0.2, "restart": 0.5, "upscale": 1.0}
"""Measured units that a default counts as much as."""
REPORT_S = 1.0
"""Seconds for scores and report. They come last, so a run is never complete before its end."""


class Rates:
    """Seconds that one unit of each kind of work takes.

    The estimate is a weighted mean in two steps: all submissions of the run around the default, then one submission
    around all. It is the default where nothing was measured, and follows the measurements soon after.

    Parameters
    ----------
    defaults
        Seconds per unit before anything is measured.
    """

    def __init__(self, defaults: Mapping[Work, float] = DEFAULT_S) -> None:
        self._defaults = dict(defaults)
        self._seconds: defaultdict[tuple[str | None, Work], float] = defaultdict(float)
        self._units: defaultdict[tuple[str | None, Work], float] = defaultdict(float)

    def add(self, slug: str, work: Work, *, seconds: float, units: float) -> None:
        """Add measured seconds, and the units that were done in them."""
        # None stands for all submissions together.
        for owner in (slug, None):
            self._seconds[owner, work] += seconds
            self._units[owner, work] += units

    def seconds_per_unit(self, slug: str, work: Work) -> float:
        """Return the estimate for one submission, seconds."""
        of_all = self._mean(None, work, self._defaults[work])
        return self._mean(slug, work, of_all)

    def _mean(self, owner: str | None, work: Work, prior_s: float) -> float:
        # As if `weight` units had been measured at the prior rate.
        weight = PRIOR_UNITS[work]
        return (weight * prior_s + self._seconds[owner, work]) / (weight + self._units[owner, work])


class RemainingTime:
    """The work of a run: what is done, and an estimate for the rest.

    Parameters
    ----------
    slugs
        Every submission of the run.
    images
        Number of images that each upscales; 0 where none are.
    timing_s
        Seconds that the timing of one network may take; None for no limit.
    processes
        Number of processes that a network is timed in.
    """

    def __init__(self, slugs: Sequence[str], images: int, timing_s: float | None, processes: int = 1) -> None:
        units: dict[Work, float] = {"prepare": 1.0, "time": 1.0, "restart": processes - 1, "upscale": images}
        self._units = {slug: dict(units) for slug in slugs}
        self._done: dict[str, dict[Work, float]] = {slug: dict.fromkeys(get_args(Work), 0.0) for slug in slugs}
        self._pending_s: dict[tuple[str, Work], float] = {}
        self._rates = Rates(DEFAULT_S if timing_s is None else {**DEFAULT_S, "time": timing_s})
        self.spent_s = 0.0
        """Seconds that were spent on work so far."""

    def spend(self, slug: str, work: Work, seconds: float) -> None:
        """Add seconds that passed while this work was done; the rate follows when units are done."""
        self.spent_s += seconds
        self._pending_s[slug, work] = self._pending_s.get((slug, work), 0.0) + seconds

    def advance(self, slug: str, work: Work, units: float) -> None:
        """Note how many units are done. The number never falls, because failed work may be repeated.

        What is done when this work begins was done by an earlier run: it took no time in this one. Submissions that are
        finished are ignored.
        """
        if slug not in self._units:
            return
        # Done units are clipped to the known number: a network may turn out to need fewer processes.
        before = self._done[slug][work]
        after = max(before, min(units, self._units[slug][work]))
        self._done[slug][work] = after
        # The first note on this work: what is done was done by an earlier run and does not count for the rates.
        if (slug, work) not in self._pending_s:
            self._pending_s[slug, work] = 0.0
        elif after > before:
            self._rates.add(slug, work, seconds=self._pending_s[slug, work], units=after - before)
            self._pending_s[slug, work] = 0.0

    def advance_share(self, slug: str, work: Work, share: float) -> None:
        """Note which share of all units is done, 0 to 1."""
        if slug in self._units:
            self.advance(slug, work, share * self._units[slug][work])

    def complete(self, slug: str, *works: Work) -> None:
        """Note that all units are done."""
        for work in works:
            self.advance_share(slug, work, 1.0)

    def advance_timing(self, slug: str, process: int, processes: int, done: float) -> None:
        """Note that one process of a network is timed, and which share of its timing is done.

        Networks that are timed together have the same number of processes behind them.

        Parameters
        ----------
        slug
            Which network.
        process, processes
            Which of its processes, from 0, and of how many.
        done
            Share of this process's timing that is done, 0 to 1.
        """
        if slug not in self._units:
            return
        # How many processes this network gets is known only now; a restart that is done stays done.
        # One process less than it has in all: the first one is not a restart.
        self._units[slug]["restart"] = max(self._done[slug]["restart"], processes - 1)
        for other in self._units:
            # They take turns with this network, and each is reported only in its own turn.
            if other != slug and (other, "time") in self._pending_s:
                self.advance_share(other, "time", process / processes)
        self.advance_share(slug, "time", (process + done) / processes)

    def finish(self, slug: str, *, succeeded: bool) -> None:
        """Drop what is left of a submission: it is done where it succeeded, and omitted otherwise."""
        for work in get_args(Work):
            if succeeded and (slug, work) in self._pending_s:
                self.complete(slug, work)
        # Later reports of it are ignored, and nothing of it is counted as left.
        self._units.pop(slug, None)

    def seconds_left(self) -> float:
        """Return the estimate for the rest of the run, seconds; more than 0."""
        return REPORT_S + sum(self.seconds_left_of(slug, work) for slug in self._units for work in get_args(Work))

    def seconds_left_of(self, slug: str, work: Work) -> float:
        """Return the estimate for the rest of one kind of work of one submission, seconds."""
        if slug not in self._units:
            return 0.0
        left = self._units[slug][work] - self._done[slug][work]
        return left * self._rates.seconds_per_unit(slug, work)
