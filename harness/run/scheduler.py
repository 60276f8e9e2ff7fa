"""Which submissions are loaded together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from harness.run.context import RunContext
from harness.run.memory import MemoryBudget, free_bytes
from harness.run.preparation import Preparation
from harness.run.submission_run import SubmissionRun
from harness.run.timing_order import order_of


class Scheduler:
    """Prepares the submissions of a run and groups them.

    Under a protocol that times in rounds, a group has as many networks as fit into memory together; they are timed in
    turns, and the anchor makes the times of different groups comparable. Under a protocol that times alone, every
    network is a group.

    Parameters
    ----------
    context
        The run's resources.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._preparation = Preparation(context)
        limit = context.plan.request.memory_bytes
        self._memory = MemoryBudget(partial(free_bytes, context.plan.device) if limit is None else lambda: limit)
        self._retries: list[SubmissionRun] = []

    def groups(self) -> Iterator[list[SubmissionRun]]:
        """Yield groups of prepared submissions.

        Submissions are prepared while groups are formed. The caller times each group, upscales with it and ends its
        workers before it asks for the next one. What needs no preparation, because its measurement is stored or it
        cannot run here, is finished on the way and in no group.
        """
        group: list[SubmissionRun] = []
        for planned in self._context.plan.submissions:
            run = self._preparation.prepare(planned)
            if run is None:
                continue
            if run.is_timed or not order_of(self._context.plan.protocol).loads_together:
                yield [run]
                continue
            if not self._context.attempt(run, run.measure_memory):
                continue
            if group and not self._memory.fits(run.measurement.peak_memory_bytes):
                yield group
                yield from self._retry()
                group = []
            if not group:
                self._memory.start_group()
            self._memory.add(run.measurement.peak_memory_bytes)
            group.append(run)
        if group:
            yield group
            yield from self._retry()

    def retry_alone(self, runs: Iterable[SubmissionRun]) -> None:
        """Let submissions that ran out of memory beside others come once more, each in a group of its own."""
        self._retries.extend(runs)

    def _retry(self) -> Iterator[list[SubmissionRun]]:
        retries, self._retries = self._retries, []
        for earlier in retries:
            run = self._preparation.prepare(earlier.planned)
            if run is not None:
                yield [run]
