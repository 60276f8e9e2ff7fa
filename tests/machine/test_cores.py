"""Which processors a network is bound to, on machines made of files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.machine import cores

Machine = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    def make(siblings: Mapping[int, str], khz: Mapping[int, int] | None = None) -> Path:
        for core, text in siblings.items():
            (tmp_path / f"cpu{core}" / "topology").mkdir(parents=True)
            (tmp_path / f"cpu{core}" / "topology" / "thread_siblings_list").write_text(f"{text}\n")
        for core, speed in (khz or {}).items():
            (tmp_path / f"cpu{core}" / "cpufreq").mkdir(parents=True)
            (tmp_path / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq").write_text(f"{speed}\n")
        monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(siblings), raising=False)
        return tmp_path

    return make


def test_the_first_processor_is_left_to_the_system(machine: Machine) -> None:
    folder = machine({0: "0", 1: "1", 2: "2"})
    assert (cores.bound_cores(1, folder), cores.bound_cores(2, folder), cores.bound_cores(3, folder)) == (
        [1],
        [1, 2],
        [0, 1, 2],
    )


def test_a_core_gets_a_second_thread_after_all_have_one(machine: Machine) -> None:
    folder = machine({0: "0,4", 1: "1,5", 2: "2,6", 4: "0,4", 5: "1,5", 6: "2,6"})
    assert cores.bound_cores(3, folder) == [0, 1, 2]
    assert cores.bound_cores(4, folder) == [0, 1, 2, 4]
    assert (cores.physical_cores(folder), cores.multithreading(folder)) == (3, True)


def test_ranges_of_siblings_are_read(machine: Machine) -> None:
    folder = machine({8: "8-9", 9: "8-9"})
    assert cores.bound_cores(1, folder) == [8]
    assert cores.physical_cores(folder) == 1


def test_fast_cores_come_first(machine: Machine) -> None:
    folder = machine({0: "0", 1: "1", 2: "2", 3: "3"}, {0: 5_000_000, 1: 5_000_000, 2: 3_000_000, 3: 3_000_000})
    assert cores.bound_cores(1, folder) == [1]
    assert cores.bound_cores(2, folder) == [0, 1]


def test_a_machine_that_tells_nothing_is_taken_as_it_is(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine({})
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {3, 5})
    assert (cores.bound_cores(4, folder), cores.physical_cores(folder), cores.multithreading(folder)) == (
        [3, 5],
        2,
        False,
    )


def test_where_nothing_can_be_bound_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cores.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 6)
    assert (cores.bound_cores(2), cores.physical_cores(), cores.multithreading()) == ([], 6, False)
