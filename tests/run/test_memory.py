"""Networks that do not fit into memory together are not put into one group."""

import math

from harness.engines.this_machine import LocalPlace
from harness.results.run_info import DeviceInfo
from harness.run.memory import MemoryBudget

GIB = 1 << 30


def test_networks_are_added_until_seven_tenths_of_the_free_memory_are_used() -> None:
    budget = MemoryBudget(lambda: 10 * GIB)
    budget.start_group()
    added = 0
    while budget.fits(GIB):
        budget.add(GIB)
        added += 1
    need = GIB + (600 << 20)  # each has a worker beside its feature maps
    assert added == math.floor(7 * GIB / need)


def test_a_network_of_unknown_size_is_taken_to_need_two_gibibytes() -> None:
    known, unknown = MemoryBudget(lambda: 10 * GIB), MemoryBudget(lambda: 10 * GIB)
    for budget, peak in ((known, 2 * GIB), (unknown, None)):
        budget.start_group()
        budget.add(peak)
        budget.add(peak)
    assert known.fits(GIB) == unknown.fits(GIB)
    assert not unknown.fits(2 * GIB)


def test_a_new_group_looks_at_the_free_memory_again() -> None:
    free = [10 * GIB, 1 * GIB]
    budget = MemoryBudget(lambda: free.pop(0))
    budget.start_group()
    assert budget.fits(GIB)
    budget.start_group()
    assert not budget.fits(GIB)


def test_an_accelerator_has_its_own_memory() -> None:
    card = DeviceInfo(kind="cuda", name="card", torch="2", threads=1, memory_bytes=8 * GIB)
    assert LocalPlace(card).free_bytes() == 8 * GIB
    assert LocalPlace(card.model_copy(update={"memory_bytes": None})).free_bytes() == math.inf
    assert 0 < LocalPlace(card.model_copy(update={"kind": "cpu"})).free_bytes() < math.inf
