"""Counters of simulated processors and cards, and the energy of a frame from them."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.machine.energy import NoMeter, energy_meter
from harness.results.measurement import RoundTimes, TimingRecord
from harness.statistics.energy import energy_of


class Packages:
    """Folders of two packages with a part of one, whose counters the test sets in microjoules."""

    def __init__(self, root: Path, limit: int = 1_000_000) -> None:
        self.folders = []
        for name, kind in (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "core")):
            folder = root / name
            folder.mkdir(parents=True)
            (folder / "name").write_text(f"{kind}\n")
            (folder / "max_energy_range_uj").write_text(f"{limit}\n")
            self.folders.append(folder)
        self.set(0, 0)

    def set(self, *microjoules: int) -> None:
        for folder, value in zip(self.folders, [*microjoules, 99], strict=True):
            (folder / "energy_uj").write_text(f"{value}\n")


@given(st.lists(st.integers(0, 999_999), min_size=2, max_size=20))
@settings(max_examples=20, deadline=None)
def test_joules_increase_over_the_end_of_a_counters_range(steps: list[int]) -> None:
    with tempfile.TemporaryDirectory() as place:
        packages = Packages(Path(place))
        meter = energy_meter("cpu", powercap=Path(place))
        assert meter.read() == 0
        total = 0
        for step in steps:
            total += step
            packages.set(total % 1_000_000, 0)
            assert meter.read() == pytest.approx(total / 1e6)


def test_packages_count_and_parts_of_them_do_not(tmp_path: Path) -> None:
    packages = Packages(tmp_path)
    meter = energy_meter("cpu", powercap=tmp_path)
    packages.set(250_000, 500_000)
    assert meter.read() == pytest.approx(0.75)


def test_without_a_counter_energy_is_unknown(tmp_path: Path) -> None:
    assert energy_meter("cpu", powercap=tmp_path / "nothing").read() is None
    packages = Packages(tmp_path)
    (packages.folders[0] / "energy_uj").unlink()  # as unreadable as without permission
    assert isinstance(energy_meter("cpu", powercap=tmp_path), NoMeter)
    assert isinstance(energy_meter("xpu", powercap=tmp_path), NoMeter)
    broken = SimpleNamespace(nvmlInit=lambda: 1 / 0)
    assert isinstance(energy_meter("cuda:0", library=broken), NoMeter)


def test_the_counter_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(get_device_properties=lambda _: SimpleNamespace(uuid="12-ab"))
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    millijoules = iter([1_000.0, 1_000.0, 4_500.0])
    library = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoules) if handle == "GPU-12-ab" else 0,
    )
    meter = energy_meter("cuda:0", library=library)
    before, after = meter.read(), meter.read()
    assert before is not None
    assert after is not None
    assert after - before == 3.5
    library.nvmlDeviceGetTotalEnergyConsumption = lambda _: 1 / 0
    assert isinstance(energy_meter("cuda:0", library=library), NoMeter)


def record(joules: list[float | None], calls: int = 10) -> TimingRecord:
    rounds = [
        RoundTimes(number=number, calls=calls, anchor_ms=(1.0, 1.0), energy_j=energy)
        for number, energy in enumerate(joules)
    ]
    return TimingRecord(clock="scripted", samples=[(0.0, 1.0)] * calls * len(rounds), rounds=rounds)


def test_the_energy_of_a_frame_is_that_of_all_turns() -> None:
    found = energy_of(record([2.0] * 8))
    assert found is not None
    assert (found.joules, found.ci, found.turns) == (0.2, (0.2, 0.2), 8)
    # A counter that advances in steps gives all to every second turn.
    coarse = energy_of(record([4.0, 0.0] * 20))
    assert coarse is not None
    assert coarse.joules == pytest.approx(0.2)
    assert coarse.ci[0] < 0.2 < coarse.ci[1]


@pytest.mark.parametrize("turns", [5, 8, 40])
def test_the_interval_holds_the_mean_as_often_as_it_says(turns: int) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        found = energy_of(record(list(rng.normal(2.0, 0.2, turns))))
        assert found is not None
        held += found.ci[0] <= 0.2 <= found.ci[1]
    assert held >= 174


@pytest.mark.parametrize("joules", [[2.0] * 4, [0.0] * 9, [None] * 9, [2.0] * 8 + [-1.0]])
def test_too_little_is_no_energy(joules: list[float | None]) -> None:
    assert energy_of(record(joules)) is None
    assert energy_of(None) is None
