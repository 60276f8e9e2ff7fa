"""An accelerator's state around timed calls, and what a card says of itself, on simulated ones."""

from types import SimpleNamespace

import pytest
import torch

from harness.errors import UsageError
from harness.machine import accelerator
from harness.machine.device import describe_device
from harness.machine.gpu_state import gpu_diagnostics, read_gpus
from harness.worker.clock import EventClock, HostClock, clock_for
from harness.worker.hygiene import cache_flusher

FRAME = torch.zeros(1, 3, 4, 4)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what a simulated accelerator is asked for, in order."""
    told: list[str] = []

    def event(device: torch.device, *, enable_timing: bool) -> SimpleNamespace:
        return SimpleNamespace(record=lambda: told.append("event"), elapsed_time=lambda _: 1.0)

    monkeypatch.setattr(torch, "Event", event)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda _: told.append("synchronize"))
    return told


def test_the_cache_is_flushed_before_the_window_and_the_output_kept_inside(story: list[str]) -> None:
    kept = []

    def keep(output: torch.Tensor) -> None:
        story.append("keep")
        kept.append(output)

    clock = clock_for(torch.device("cuda"), lambda: story.append("flush"), keep)
    clock.time(lambda: story.append("call") or FRAME)
    assert story == ["flush", "synchronize", "event", "call", "keep", "event", "synchronize"]
    assert kept[0] is FRAME


def test_without_either_the_window_holds_the_call_alone(story: list[str]) -> None:
    EventClock(torch.device("cuda")).time(lambda: story.append("call") or FRAME)
    assert story == ["synchronize", "event", "call", "event", "synchronize"]
    assert isinstance(clock_for(torch.device("cpu")), HostClock)


def test_flushing_writes_four_times_the_cache_and_releases_what_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(L2_cache_size=1000)
    module = SimpleNamespace(get_device_properties=lambda _: properties)
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    sizes, released = [], []
    waste = SimpleNamespace(zero_=lambda: released.append("written"))
    monkeypatch.setattr(torch, "empty", lambda size, **_: sizes.append(size) or waste)
    cache_flusher(torch.device("cuda"), lambda: lambda: released.append("released"))()
    assert (sizes, released) == ([4000], ["released", "written"])
    properties.L2_cache_size = 0
    cache_flusher(torch.device("xpu"))()
    assert sizes[1] == 256 << 20
    assert released[2:] == ["written"]


class FakeCards:
    """The module ``pynvml`` on a machine with one card."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    def __init__(self, busy: int, reasons: int, *, works: bool = True) -> None:
        self.busy, self.reasons, self.works, self.ended = busy, reasons, works, 0

    def nvmlInit(self) -> None:
        if not self.works:
            raise OSError("no driver")

    def nvmlShutdown(self) -> None:
        self.ended += 1

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def __getattr__(self, name: str):
        answers = {
            "nvmlDeviceGetHandleByIndex": 0,
            "nvmlDeviceGetName": b"Card 9",
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.reasons,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=self.busy),
            "nvmlDeviceGetComputeRunningProcesses": [1] * bool(self.busy),
            "nvmlDeviceGetClockInfo": 900,
            "nvmlDeviceGetMaxClockInfo": 1800,
            "nvmlDeviceGetTemperature": 83,
        }
        return lambda *_: answers[name]


def test_a_busy_and_throttled_card_is_pointed_out() -> None:
    library = FakeCards(60, 0x40 | 0x4)
    diagnostics = {one.name: one for one in gpu_diagnostics(library)}
    assert diagnostics["GPU 0"].value == "Card 9, 900 of 1800 MHz, 83 °C"
    assert "60 % busy, 1 process" in diagnostics["GPU 0 idle"].value
    assert "power cap, hardware thermal slowdown" in diagnostics["GPU 0 clock"].value
    assert library.ended == 1


def test_an_idle_card_and_no_card_have_no_warnings() -> None:
    assert [one.level for one in gpu_diagnostics(FakeCards(0, 0x1))] == ["ok"]  # 0x1: idle
    assert read_gpus(FakeCards(0, 0, works=False)) == []


def test_a_device_with_too_high_a_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "torch_build", lambda: {"__version__": torch.__version__, "cuda": "12.8"})
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"there is no device cuda:9\. The last of 2 is cuda:1"):
        describe_device("cuda:9", None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs an accelerator")
def test_a_flushed_cache_makes_a_small_copy_slower_on_a_real_device() -> None:
    device = torch.accelerator.current_accelerator()
    source = torch.zeros(4 << 20, device=device)
    target = torch.empty_like(source)
    warm, cold = EventClock(device), EventClock(device, cache_flusher(device))

    def typical(clock: EventClock) -> float:
        return sorted(clock.time(lambda: target.copy_(source)).ms for _ in range(21))[10]

    typical(warm)
    assert typical(cold) >= typical(warm)
