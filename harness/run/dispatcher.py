"""What each place of a run does next.

Networks are timed first, on places that may time; each is then measured on whichever place is free. On one machine no
second group is prepared for timing as long as there is something to measure.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.run.tasks import TaskKind

MOST_IN_A_GROUP = 8
"""Networks that are timed together: enough to compare them in the same rounds, and little to lose with a machine."""
MOST_LOSSES = 3
"""Losses of a machine after which a submission that was being processed each time has failed."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place as the dispatcher sees it: it takes one assignment at a time.

    Attributes
    ----------
    number
        Index of the place in the run.
    machine
        Its machine.
    times
        Whether networks are timed there.
    """

    number: int
    machine: str
    times: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a slot does: which networks are timed together there, or which one is measured."""

    kind: TaskKind
    slugs: tuple[str, ...]


class Dispatcher:
    """Gives work to slots.

    Parameters
    ----------
    slots
        All places.
    to_time
        Networks that have no times yet, in order.
    to_measure
        Networks that an earlier run has timed, in order.
    together
        Whether networks are timed in groups.
    """

    def __init__(
        self, slots: Sequence[Slot], to_time: Iterable[str], to_measure: Iterable[str], *, together: bool
    ) -> None:
        self._slots = list(slots)
        # A submission is in exactly one of: a queue, the work of one slot, finished (known to the caller only).
        self._to_time = deque(to_time)
        self._to_measure = deque(to_measure)
        self._together = together
        self._at_work: dict[Slot, Assignment] = {}
        self._losses: Counter[str] = Counter()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do and no slot is busy."""
        return not (self._to_time or self._to_measure or self._at_work)

    @property
    def is_stuck(self) -> bool:
        """Whether no slot that is left can do what is to do."""
        if self._at_work:
            return False
        can_time = any(slot.times for slot in self._slots)
        return (bool(self._to_time) and not can_time) or (bool(self._to_measure) and not self._slots)

    def idle(self) -> list[Slot]:
        """Return the slots without work."""
        return [slot for slot in self._slots if slot not in self._at_work]

    def assign(self, slot: Slot) -> Assignment | None:
        """Give a slot its next work; None if there is none for it now."""
        assignment = self._next(slot)
        if assignment is not None:
            self._at_work[slot] = assignment
        return assignment

    def finish(self, slot: Slot, timed: Iterable[str] = ()) -> None:
        """Note that a slot's work is done; `timed` are the networks that are still to be measured."""
        del self._at_work[slot]
        # At the end of the queue: networks that were timed earlier are measured first.
        self._to_measure.extend(timed)

    def lose(self, machine: str, *, for_good: bool) -> list[str]:
        """Take back the work of a machine that was lost.

        Parameters
        ----------
        machine
            Which one.
        for_good
            Whether its slots get no more work.

        Returns
        -------
        list of str
            Submissions that were being processed at so many losses that they are not tried again.
        """
        given_up = []
        for slot in [slot for slot in self._at_work if slot.machine == machine]:
            assignment = self._at_work.pop(slot)
            waiting = self._to_time if assignment.kind == "time" else self._to_measure
            self._losses.update(assignment.slugs)
            again = [slug for slug in assignment.slugs if self._losses[slug] < MOST_LOSSES]
            given_up += [slug for slug in assignment.slugs if slug not in again]
            # Back to the front of the queue, in the order in which they were.
            waiting.extendleft(reversed(again))
        if for_good:
            self._slots = [slot for slot in self._slots if slot.machine != machine]
        return given_up

    def _next(self, slot: Slot) -> Assignment | None:
        # Timing first, because every network needs it before it can be measured, and fewer places can do it.
        if slot.times and self._to_time and not self._is_timing(slot.machine):
            return self._time()
        if self._to_measure:
            return Assignment("measure", (self._to_measure.popleft(),))
        # A second group on a machine that is timing already: nothing is left to measure.
        return self._time() if slot.times and self._to_time else None

    def _is_timing(self, machine: str) -> bool:
        return any(slot.machine == machine and work.kind == "time" for slot, work in self._at_work.items())

    def _time(self) -> Assignment:
        slugs = [self._to_time.popleft()]
        # What was lost is tried alone, in case one network of a group caused the loss.
        size = 1 if self._losses[slugs[0]] else self._group_size()
        # A network that was being processed at a loss is never added to a group of others.
        while len(slugs) < size and self._to_time and not self._losses[self._to_time[0]]:
            slugs.append(self._to_time.popleft())
        return Assignment("time", tuple(slugs))

    def _group_size(self) -> int:
        """Return how many networks a group has: fewer towards the end, so that all machines end together."""
        if not self._together:
            return 1
        left = 1 + len(self._to_time)
        machines = len({slot.machine for slot in self._slots if slot.times})
        # Half of a machine's share of what is left, rounded up: groups become smaller towards the end.
        return min(MOST_IN_A_GROUP, left if machines == 1 else -(-left // (2 * machines)))
