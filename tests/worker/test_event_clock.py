"""The path of an accelerator, on a simulated one: scripted event times, scripted wall times, a lock that is taken."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from harness.errors import UsageError
from harness.machine.device_lock import device_lock
from harness.worker.clock import EventClock
from harness.worker.measure import Sampling, repeated_frame, time_forward

FRAME = torch.zeros(1, 3, 4, 4)


class Device:
    """A device whose events are `event_ms` apart and which is idle again after `wall_ms`."""

    def __init__(self, event_ms: Iterator[float], wall_ms: Iterator[float]) -> None:
        self.event_ms, self.wall_ms = event_ms, wall_ms
        self.now_ns = 0
        self.story: list[str] = []

    def event(self, device: torch.device, *, enable_timing: bool) -> SimpleNamespace:
        assert enable_timing
        return SimpleNamespace(record=lambda: self.story.append("event"), elapsed_time=lambda _: next(self.event_ms))

    def synchronize(self, device: torch.device) -> None:
        self.story.append("synchronize")
        if self.story[-3:] == ["call", "event", "synchronize"]:
            self.now_ns += int(next(self.wall_ms) * 1e6)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        self.story.append("call")
        return frame


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch):
    def make(event_ms: list[float], wall_ms: list[float]) -> Device:
        device = Device(iter(event_ms), iter(wall_ms))
        monkeypatch.setattr(torch, "Event", device.event)
        monkeypatch.setattr(torch.accelerator, "synchronize", device.synchronize)
        monkeypatch.setattr("harness.worker.clock.perf_counter_ns", lambda: device.now_ns)
        return device

    return make


def measure(device: Device, calls: int):
    clock = EventClock(torch.device("cuda"))
    return time_forward(device.forward, repeated_frame(FRAME), clock, Sampling(0, calls, calls, None), lambda _: None)


def test_events_bracket_the_call_between_two_synchronisations(simulate) -> None:
    device = simulate([2.5], [2.6])
    timing = measure(device, 1)
    assert device.story == ["synchronize", "event", "call", "event", "synchronize"]
    assert [sample.ms for sample in timing.samples] == [2.5]
    assert (timing.clock, timing.alarms) == ("device events", 0)


def test_work_outside_the_timed_stream_raises_an_alarm(simulate) -> None:
    timing = measure(simulate([0.1, 0.1, 5.0], [9.0, 9.0, 5.2]), 3)
    assert timing.alarms == 2


def test_events_that_say_more_than_the_host_waited_for_raise_one_too(simulate) -> None:
    assert measure(simulate([9.0, 5.0], [3.0, 4.9]), 2).alarms == 1


def test_the_cost_of_launching_a_short_call_raises_none(simulate) -> None:
    assert measure(simulate([0.05] * 4, [0.6] * 4), 4).alarms == 0


def test_a_throttled_device_is_seen_in_every_sample(simulate) -> None:
    times = [2.0] * 10 + [4.0] * 10
    timing = measure(simulate(times, times), 20)
    assert [sample.ms for sample in timing.samples] == times
    assert timing.alarms == 0


def test_replaced_functions_do_not_reach_a_clock_that_exists(simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    device = simulate([3.0], [3.0])
    clock = EventClock(torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda _: None)
    monkeypatch.setattr(torch, "Event", None)
    assert clock.time(lambda: device.forward(FRAME)).ms == 3.0
    assert device.story.count("synchronize") == 2


def test_a_device_that_another_run_times_on_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("harness.machine.device_lock.tempfile.gettempdir", lambda: str(tmp_path))
    properties = SimpleNamespace(uuid="GPU-12")
    monkeypatch.setattr(
        torch, "get_device_module", lambda _: SimpleNamespace(get_device_properties=lambda _: properties)
    )
    with device_lock("cuda:0"):
        assert (tmp_path / "sr-harness-GPU-12.lock").exists()
    with (
        FileLock(tmp_path / "sr-harness-GPU-12.lock", is_singleton=False),
        pytest.raises(UsageError, match="another run"),
        device_lock("cuda", wait_s=0.01),
    ):
        pass


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs an accelerator")
def test_events_agree_with_the_wall_on_a_real_device() -> None:
    device = torch.accelerator.current_accelerator()
    matrix = torch.rand(4096, 4096, device=device)
    clock = EventClock(device)
    clock.time(lambda: matrix @ matrix)
    readings = [clock.time(lambda: matrix @ matrix @ matrix) for _ in range(5)]
    assert not any(reading.alarming for reading in readings)
    assert all(0 < reading.ms <= reading.wall_ms * 1.05 for reading in readings)
