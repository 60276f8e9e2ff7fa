"""Networks that do not fit into memory together are not put into one group."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.this_machine import LocalPlace
from harness.results.run_info import DeviceInfo
from harness.run.memory import MemoryBudget, heap_bytes

GIB = 1 << 30


@pytest.mark.parametrize(("on_cpu", "share_gib"), [(False, 7), (True, 8)])
def test_networks_are_added_until_most_of_the_free_memory_is_used(on_cpu: bool, share_gib: int) -> None:
    budget = MemoryBudget(lambda: 10 * GIB, on_cpu=on_cpu)
    budget.start_group()
    added = 0
    while budget.fits(GIB):
        assert budget.add(GIB)
        added += 1
    # Each has a worker beside its feature maps, and on a CPU a heap that is larger than these.
    need = (300 << 20) + heap_bytes(GIB) if on_cpu else (600 << 20) + GIB
    assert added == math.floor(share_gib * GIB / need)
    assert not budget.add(GIB)


@given(st.integers(0, 64 * GIB))
def test_a_heap_has_room_for_the_peak(peak: int) -> None:
    assert 1.3 * peak - 1 <= heap_bytes(peak) <= 2.2 * peak + 1
    assert heap_bytes(peak) <= heap_bytes(peak + 1)


def test_a_network_of_unknown_size_is_taken_to_need_two_gibibytes() -> None:
    known, unknown = (MemoryBudget(lambda: 10 * GIB, on_cpu=False) for _ in range(2))
    for budget, peak in ((known, 2 * GIB), (unknown, None)):
        budget.start_group()
        budget.add(peak)
        budget.add(peak)
    assert known.fits(GIB) == unknown.fits(GIB)
    assert not unknown.fits(2 * GIB)


def test_a_new_group_looks_at_the_free_memory_again() -> None:
    free = [10 * GIB, 1 * GIB]
    budget = MemoryBudget(lambda: free.pop(0), on_cpu=False)
    budget.start_group()
    assert budget.fits(GIB)
    budget.start_group()
    assert not budget.fits(GIB)


def test_an_accelerator_has_its_own_memory() -> None:
    card = DeviceInfo(kind="cuda", name="card", torch="2", threads=1, memory_bytes=8 * GIB)
    assert LocalPlace(card).free_bytes() == 8 * GIB
    assert LocalPlace(card.model_copy(update={"memory_bytes": None})).free_bytes() == math.inf
    assert 0 < LocalPlace(card.model_copy(update={"kind": "cpu"})).free_bytes() < math.inf
