"""Group submissions so that the networks of each group fit into memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from harness.run.context import RunContext
from harness.run.memory import MemoryBudget
from harness.run.preparation import Preparation
from harness.run.submission_run import SubmissionRun
from harness.run.timing_order import order_of


class Scheduler:
    """Prepares the submissions of a run and yields them in groups.

    Under a protocol that times in rounds, a group has as many networks as fit into memory. They are timed in turns,
    and the anchor, a small fixed network that is timed in every group, makes the times of different groups comparable.
    Under a protocol that times each network alone, every network is a group of its own.

    Parameters
    ----------
    context
        The plan with what all stages share: workers, device, store, progress.
    one_by_one
        Whether every network is a group of its own under all protocols, so that each is finished before the next one is
        loaded. ``harness check`` asks for this, to report each submission as soon as possible.
    upscales
        Whether images are upscaled after the timing.
    """

    def __init__(self, context: RunContext, *, one_by_one: bool = False, upscales: bool = True) -> None:
        self._context = context
        self._preparation = Preparation(context, upscales=upscales)
        self._one_by_one = one_by_one
        self._loads_together = order_of(context.plan.protocol).loads_together
        plan, limit_bytes = context.plan, context.plan.request.memory_bytes
        # Free memory changes during a run, so it is read again for each group.
        free_bytes = plan.place.free_bytes if limit_bytes is None else lambda: limit_bytes
        self._memory = MemoryBudget(free_bytes, on_cpu=plan.device.kind == "cpu")
        self._to_retry: list[SubmissionRun] = []

    def prepare_groups(self) -> Iterator[list[SubmissionRun]]:
        """Yield groups of prepared submissions.

        Preparing means to load, reparameterize and count a network in a worker of its own, by
        :meth:`harness.run.submission_run.SubmissionRun.prepare`. The worker keeps the network. A submission that needs
        or allows no further stage is recorded at once and is in no group: its measurement is stored, it cannot run
        here, or it failed.

        Before it asks for the next group, the caller times the networks, upscales with them, ends their workers, and
        passes those that are to be tried again to :meth:`retry_alone`.
        """
        group: list[SubmissionRun] = []
        for planned in self._context.plan.submissions:
            submission_run = self._preparation.prepare(planned)
            # Reused, refused or failed: `Preparation` has recorded it.
            if submission_run is None:
                continue
            if not self._is_timed_in_turns(submission_run):
                yield [submission_run]  # at once, also while a group is being formed
                continue
            # Records the failure and returns False if memory cannot be estimated.
            if not self._context.attempt(submission_run, submission_run.measure_memory):
                continue
            if self._one_by_one:
                yield [submission_run]
                continue
            if group and not self._memory.fits(submission_run.measurement.peak_memory_bytes):
                # The new network is loaded already. It is paused while the group before it is measured.
                yield group
                yield from self._retries()
                group = []
            if not group:
                self._memory.start_group()
            # While further networks are loaded, because it takes as long as a call.
            self._add(submission_run, self._context.engine.meanwhile)
            group.append(submission_run)
        if group:
            yield group
            yield from self._retries()

    def _is_timed_in_turns(self, submission_run: SubmissionRun) -> bool:
        """Return whether a network takes turns with others, so that it has to wait for a group.

        It need not if the protocol times each network alone, if the run measures no times, or if an earlier run has
        timed it: then only its images are missing.
        """
        return self._loads_together and self._context.plan.timed and not submission_run.is_timed

    def retry_alone(self, submission_runs: Iterable[SubmissionRun]) -> None:
        """Schedule submissions once more, each in a group of its own.

        They ran out of memory beside others, or their group failed as a whole. They come directly after that group. A
        network that fails in a group of one has failed and is not passed here.
        """
        self._to_retry.extend(submission_runs)

    def _retries(self) -> Iterator[list[SubmissionRun]]:
        """Yield submissions that are tried again, prepared again because their workers have ended."""
        # Taken before the first is yielded, because the caller may pass further ones meanwhile.
        to_retry, self._to_retry = self._to_retry, []
        for earlier in to_retry:
            # Nothing of it is stored: it is not finished, and what was timed in the group was forgotten.
            submission_run = self._preparation.prepare(earlier.planned)
            # It is alone whatever it takes; its row states its memory.
            if submission_run is not None and self._context.attempt(submission_run, submission_run.measure_memory):
                self._memory.start_group()
                self._add(submission_run, lambda grow: grow())
                yield [submission_run]

    def _add(self, submission_run: SubmissionRun, do: Callable[[Callable[[], None]], object]) -> None:
        """Count the memory of a network in its group, and let `do` grow its heap if there is room for it."""
        peak_bytes = submission_run.measurement.peak_memory_bytes
        if self._memory.add(peak_bytes):
            do(partial(submission_run.worker.grow_heap, peak_bytes))
