"""Simulated clusters with scripted times: how long a run takes, and what the loss of a machine costs."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from harness.run.dispatcher import MOST_LOSSES, Assignment, Dispatcher, Slot

ANCHOR_S = 6.0  # to start the anchor of a group


@dataclass(frozen=True)
class Times:
    """Seconds that one network takes."""

    prepare: float
    time: float
    measure: float


@dataclass
class Work:
    assignment: Assignment
    phases: list[tuple[str, float]]
    begun: float


@dataclass
class Cluster:
    """A cluster with a clock of its own. While a group is timed on a machine, its other devices stand still."""

    slots: Sequence[Slot]
    times: dict[str, Times]
    dispatcher: Dispatcher
    now: float = 0.0
    at_work: dict[Slot, Work] = field(default_factory=dict)
    timing: dict[str, Slot] = field(default_factory=dict)
    measured: Counter[str] = field(default_factory=Counter)
    spent_s: float = 0.0

    def begin(self, slot: Slot, assignment: Assignment) -> None:
        own = [self.times[slug] for slug in assignment.slugs]
        if assignment.kind == "time":
            quiet_s = ANCHOR_S + sum(one.time for one in own)
            phases = [("work", sum(one.prepare for one in own)), ("quiet", quiet_s)]
        else:
            phases = [("work", own[0].measure)]
        self.at_work[slot] = Work(assignment, phases, self.now)

    def run(self, lose_at: float | None = None, lost: str = "") -> float:
        while not self.dispatcher.is_done:
            for slot in self.dispatcher.idle():
                assignment = self.dispatcher.assign(slot)
                if assignment is not None:
                    self.begin(slot, assignment)
            assert not self.dispatcher.is_stuck
            self._begin_timings()
            active = [slot for slot in self.at_work if self._may_run(slot)]
            step = min(self.at_work[slot].phases[0][1] for slot in active)
            if lose_at is not None and self.now + step >= lose_at:
                self._lose(lost)
                lose_at = None
                continue
            self._pass(step, active)
        return self.now

    def _may_run(self, slot: Slot) -> bool:
        owner = self.timing.get(slot.machine)
        return owner == slot if owner is not None else self.at_work[slot].phases[0][0] == "work"

    def _begin_timings(self) -> None:
        for slot, work in self.at_work.items():
            if work.phases[0][0] == "quiet" and slot.machine not in self.timing:
                self.timing[slot.machine] = slot
                assert slot.times

    def _pass(self, step: float, active: Sequence[Slot]) -> None:
        self.now += step
        for slot in active:
            phases = self.at_work[slot].phases
            phases[0] = phases[0][0], phases[0][1] - step
            if phases[0][1] <= 1e-9:
                self._end_phase(slot)

    def _end_phase(self, slot: Slot) -> None:
        work = self.at_work[slot]
        kind, _ = work.phases.pop(0)
        if kind == "quiet":
            del self.timing[slot.machine]
        if not work.phases:
            del self.at_work[slot]
            is_timing = work.assignment.kind == "time"
            self.dispatcher.finish(slot, work.assignment.slugs if is_timing else ())
            self.measured.update([] if is_timing else work.assignment.slugs)

    def _lose(self, machine: str) -> None:
        for slot in [slot for slot in self.at_work if slot.machine == machine]:
            self.spent_s += self.now - self.at_work.pop(slot).begun
        self.timing.pop(machine, None)
        assert self.dispatcher.lose(machine, for_good=True) == []


def cluster(machines: int, each: int, measure_s: float, seed: int, networks: int = 200) -> Cluster:
    """Half of the machines have devices of the model that times."""
    rng = random.Random(seed)
    times = {
        f"n{number}": Times(rng.uniform(5, 15), rng.uniform(20, 40), measure_s * rng.uniform(0.5, 1.5))
        for number in range(networks)
    }
    slots = [
        Slot(each * machine + device, f"m{machine}", machine < machines // 2)
        for machine in range(machines)
        for device in range(each)
    ]
    return Cluster(slots, times, Dispatcher(slots, list(times), [], together=True))


def lower_bound(simulated: Cluster) -> float:
    """Return seconds that no order of the work falls below: the capacity of all devices, and of those that time."""
    every, timing = len(simulated.slots), [slot for slot in simulated.slots if slot.times]
    machines = len({slot.machine for slot in timing})
    each = len(timing) // machines
    prepare, time, measure = (
        sum(getattr(one, name) for one in simulated.times.values()) for name in ("prepare", "time", "measure")
    )
    longest = max(one.prepare + one.time + one.measure for one in simulated.times.values())
    return max(
        time / machines, (prepare + each * time) / len(timing), (prepare + each * time + measure) / every, longest
    )


@pytest.mark.parametrize("measure_s", [5.0, 30.0, 80.0, 300.0])
@pytest.mark.parametrize(("machines", "each"), [(8, 1), (4, 2)])
def test_eight_devices_of_two_models_end_near_the_lower_bound(machines: int, each: int, measure_s: float) -> None:
    for seed in range(3):
        simulated = cluster(machines, each, measure_s, seed)
        assert simulated.run() <= 1.15 * lower_bound(simulated)
        assert simulated.measured == Counter(dict.fromkeys(simulated.times, 1))


@pytest.mark.parametrize("lost", ["m0", "m7"])
def test_a_lost_machine_costs_its_own_unfinished_work(lost: str) -> None:
    whole = cluster(8, 1, 80.0, 1)
    undisturbed_s = whole.run()
    for share in (0.1, 0.5, 0.9):
        simulated = cluster(8, 1, 80.0, 1)
        simulated.run(lose_at=share * undisturbed_s, lost=lost)
        assert simulated.measured == Counter(dict.fromkeys(simulated.times, 1))
        group = max(sum(t.prepare + t.time for t in simulated.times.values()) / 200 * 8 + ANCHOR_S, 120.0)
        assert simulated.spent_s <= 1.5 * group


def test_work_that_loses_every_machine_is_given_up() -> None:
    slots = [Slot(0, "m", True)]
    dispatcher = Dispatcher(slots, ["a", "b", "c"], [], together=True)
    work = dispatcher.assign(slots[0])
    assert work is not None
    assert work.slugs == ("a", "b", "c")
    assert dispatcher.lose("m", for_good=False) == []
    for _ in range(MOST_LOSSES - 2):
        work = dispatcher.assign(slots[0])
        assert work is not None
        assert work.slugs == ("a",)  # alone: one of the three may be to blame
        assert dispatcher.lose("m", for_good=False) == []
    dispatcher.assign(slots[0])
    assert dispatcher.lose("m", for_good=False) == ["a"]
    work = dispatcher.assign(slots[0])
    assert work is not None
    assert work.slugs == ("b",)


def test_a_run_without_a_place_that_times_is_stuck() -> None:
    slots = [Slot(0, "a", True), Slot(1, "b", False)]
    dispatcher = Dispatcher(slots, ["x"], ["y"], together=True)
    assert dispatcher.assign(slots[1]) == Assignment("measure", ("y",))
    dispatcher.lose("a", for_good=True)
    assert not dispatcher.is_stuck
    dispatcher.finish(slots[1])
    assert dispatcher.is_stuck


def test_networks_of_an_earlier_run_are_measured_while_others_are_timed() -> None:
    slots = [Slot(0, "a", True), Slot(1, "a", True), Slot(2, "b", False)]
    dispatcher = Dispatcher(slots, ["x", "y"], ["p", "q"], together=False)
    assert [dispatcher.assign(slot) for slot in slots] == [
        Assignment("time", ("x",)), Assignment("measure", ("p",)), Assignment("measure", ("q",)),
    ]  # fmt: skip
