"""Clock readings of a simulated card: kept beside the samples, and what was measured while it was hot is left out."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.machine.gpu_state import GpuMonitor, driver_version
from harness.results.measurement import GpuReading, RoundTimes, TimingRecord
from harness.results.rounds import FEWEST_ROUNDS, kept_rounds
from harness.statistics.runtime_summary import round_ratios, summarise_record
from harness.timing import ROBUST


class FakeCard:
    """The module ``pynvml`` on a machine with one card, whose clock and slowdowns are scripted."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    def __init__(self, script: list[tuple[int, int]], *, works: bool = True) -> None:
        self.script, self.works = script, works
        self.asked: list[str] = []

    def nvmlInit(self) -> None:
        if not self.works:
            raise OSError("no driver")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked.append(uuid)
        return uuid

    def __getattr__(self, name: str):
        clock, reasons = self.script[0]
        answers = {
            "nvmlDeviceGetName": "Card 9",
            "nvmlDeviceGetCurrentClocksThrottleReasons": reasons,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=50),
            "nvmlDeviceGetComputeRunningProcesses": [],
            "nvmlDeviceGetClockInfo": clock,
            "nvmlDeviceGetMaxClockInfo": 1800,
            "nvmlDeviceGetTemperature": 83,
        }
        return lambda *_: answers[name]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(uuid="12-ab")
    module = SimpleNamespace(get_device_properties=lambda _: properties)
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)


def test_a_card_is_found_by_its_uuid_and_read_again_and_again(cuda: None) -> None:
    card = FakeCard([(1800, 0x0), (900, 0x40 | 0x4)])
    watch = GpuMonitor("cuda:1", card)
    first = watch.read()
    card.script.pop(0)
    second = watch.read()
    assert card.asked == ["GPU-12-ab"]
    assert (first.clock_mhz, first.temperature_c, first.slowed_by) == (1800, 83, [])
    assert (second.clock_mhz, second.slowed_by) == (900, ["power cap", "hardware thermal slowdown"])
    assert 0 <= first.at_s <= second.at_s


def test_what_does_not_tell_is_not_read(cuda: None) -> None:
    assert GpuMonitor("cpu", FakeCard([(1800, 0)])).read() is None
    assert GpuMonitor("cuda", FakeCard([(1800, 0)], works=False)).read() is None
    assert GpuMonitor("cuda", FakeCard([])).read() is None  # a card that answers no question


def record(slowed_by: dict[int, list[str]], rounds: int = 20) -> TimingRecord:
    """Return a timing in which a network takes 2 ms beside an anchor of 1 ms, and 5 ms in the rounds that are named."""
    cards = [
        GpuReading(at_s=n, clock_mhz=900 if n in slowed_by else 1800, temperature_c=70, slowed_by=slowed_by.get(n, []))
        for n in range(rounds)
    ]
    return TimingRecord(
        clock="scripted",
        samples=[(float(n), 5.0 if n in slowed_by else 2.0) for n in range(rounds)],
        rounds=[RoundTimes(number=n, calls=1, anchor_ms=(1.0, 1.0), card=card) for n, card in enumerate(cards)],
    )


def test_rounds_of_a_throttled_card_are_dropped_and_counted_with_the_reason() -> None:
    timing = record({n: ["hardware thermal slowdown"] for n in (3, 4, 5, 6, 7, 8, 9)})
    ratios = round_ratios(timing)
    assert (ratios.dropped, ratios.throttled) == (7, 7)
    assert set(ratios.values) == {2.0}
    assert 3 not in ratios.numbers
    summary = summarise_record(timing, ROBUST.summary_rule)
    assert summary.mean == 2.0
    assert summary.note == "7 of 20 rounds dropped: the card was throttled (hardware thermal slowdown)"


def test_both_reasons_are_counted_apart() -> None:
    timing = record({3: ["power brake"]})
    rounds = [*timing.rounds]
    rounds[10] = rounds[10].model_copy(update={"anchor_ms": (1.0, 2.0)})
    note = summarise_record(timing.model_copy(update={"rounds": rounds}), ROBUST.summary_rule).note
    assert note is not None
    assert note.startswith("2 of 20 rounds dropped; 1: the machine's speed jumped")
    assert note.endswith("1: the card was throttled (power brake)")


def test_the_limit_of_power_is_part_of_how_fast_a_network_is() -> None:
    assert round_ratios(record({n: ["power cap"] for n in range(5)})).dropped == 0


def test_a_card_that_is_always_hot_has_nothing_to_compare_with() -> None:
    hot = record({n: ["power brake"] for n in range(15)})
    assert (round_ratios(hot).dropped, round_ratios(hot).throttled) == (0, 0)
    few = [(1.0, 1.0)] * (FEWEST_ROUNDS - 1)
    assert all(kept_rounds(few, [True] + [False] * (FEWEST_ROUNDS - 2)))


def test_records_without_readings_are_still_read() -> None:
    old = {"clock": "c", "samples": [[0.0, 2.0]], "rounds": [{"number": 0, "calls": 1, "anchor_ms": [1.0, 1.0]}]}
    timing = TimingRecord.model_validate(old)
    assert (timing.rounds[0].card, timing.card) == (None, [])
    assert round_ratios(timing).dropped == 0


LOADED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Release Build  (dvs-builder)\nGCC version:  12.2.0\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build\nGCC version: gcc 13.3\n"


@pytest.mark.parametrize(("text", "version"), [(LOADED, "580.65.06"), (OPEN, "575.57.08"), ("odd", None), (None, None)])
def test_the_version_of_the_driver_is_read_without_nvml(tmp_path: Path, text: str | None, version: str | None) -> None:
    loaded = tmp_path / "version"
    if text is not None:
        loaded.write_text(text)
    broken = SimpleNamespace(nvmlInit=lambda: 1 / 0)
    assert driver_version(broken, loaded) == version


def test_the_version_of_the_driver_is_that_of_nvml(tmp_path: Path) -> None:
    for told in ("580.65.06", b"580.65.06"):
        library = SimpleNamespace(
            nvmlInit=lambda: None, nvmlShutdown=lambda: None, nvmlSystemGetDriverVersion=lambda told=told: told
        )
        assert driver_version(library, tmp_path / "none") == "580.65.06"
