"""Ceilings that a device can have, and verdicts that follow from them."""

import pytest
import torch

from harness.results import Measurement
from harness.results.schema import Ceilings
from harness.tracks.roofline import roofline
from harness.worker import ceilings as ceilings_module
from harness.worker.ceilings import measure_ceilings
from harness.worker.clock import Reading


def measured(macs: float, moved: float, operators: int, backend: str = "eager") -> Measurement:
    limits = Ceilings(macs_per_s=100e9, bytes_per_s=10e9, launch_s=1e-5)
    return Measurement(
        fingerprint="f", created="", status="ok", backend=backend, macs=int(macs), bytes_moved=int(moved),
        operators=operators, ceilings=limits,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("macs", "moved", "operators", "bound"),
    [(8e9, 0.1e9, 10, "compute"), (1e9, 0.5e9, 10, "memory"), (0.1e9, 0.01e9, 5000, "launches")],
)
def test_the_bound_is_the_resource_that_is_used_most(macs: float, moved: float, operators: int, bound: str) -> None:
    roof = roofline(measured(macs, moved, operators), 100.0)
    assert roof.bound == bound
    assert roof.macs_per_s == pytest.approx(macs / 0.1)
    assert roof.bytes_per_s == pytest.approx(moved / 0.1)
    assert roof.compute_fraction == pytest.approx(macs / 0.1 / 100e9)
    assert roof.memory_fraction == pytest.approx(moved / 0.1 / 10e9)
    assert roof.launch_fraction == pytest.approx(operators * 1e-5 / 0.1)


def test_a_backend_of_one_launch_is_not_bound_by_launches() -> None:
    roof = roofline(measured(0.1e9, 0.01e9, 5000, "cuda-graph"), 100.0)
    assert roof.launch_fraction is None
    assert roof.bound != "launches"


def test_nothing_is_said_where_a_part_is_missing() -> None:
    whole = measured(1e9, 1e9, 1)
    for part in ("macs", "bytes_moved", "operators", "ceilings"):
        assert roofline(whole.model_copy(update={part: None}), 100.0) is None
    assert roofline(whole, None) is None


class Scripted:
    """A clock that runs each call and says that it took the next of some milliseconds."""

    def __init__(self, times: list[float]) -> None:
        self.times = iter(times)

    def time(self, call) -> Reading:
        return Reading(ms := next(self.times), ms, call())


def test_ceilings_are_those_of_the_fastest_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings_module, "_SECONDS", 0.0)
    monkeypatch.setattr(ceilings_module, "_MATRIX_SIDE", {"cpu": 100})
    monkeypatch.setattr(ceilings_module, "_CONVOLUTION", {"cpu": (8, 50)})
    monkeypatch.setattr(ceilings_module, "_COPY_BYTES", {"cpu": 4_000_000})
    copy, launch = Scripted([9, 5, 4, 8]), Scripted([9, 1, 2, 3])
    clocks = iter([copy, Scripted([9, 4, 2, 3]), Scripted([9, 7, 6, 5]), launch])
    monkeypatch.setattr(ceilings_module, "clock_for", lambda _: next(clocks))
    found = measure_ceilings(torch.device("cpu"), torch.float32)
    assert found.macs_per_s == pytest.approx(100**3 / 2e-3)
    assert found.bytes_per_s == pytest.approx(8_000_000 / 4e-3)
    assert found.launch_s == pytest.approx(1e-3 / 500)


def test_the_faster_of_product_and_convolution_is_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings_module, "_SECONDS", 0.0)
    monkeypatch.setattr(ceilings_module, "_CONVOLUTION", {"cpu": (8, 50)})
    scripts = [[1, 1, 1, 1], [9000, 9000, 9000, 9000], [9, 7, 6, 5], [1, 1, 1, 1]]
    clocks = iter([Scripted(script) for script in scripts])
    monkeypatch.setattr(ceilings_module, "clock_for", lambda _: next(clocks))
    found = measure_ceilings(torch.device("cpu"), torch.float32)
    assert found.macs_per_s == pytest.approx(8 * 8 * 9 * 50 * 50 / 5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ceilings_of_this_machine_are_those_of_a_computer(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(ceilings_module, "_SECONDS", 0.0)
    monkeypatch.setattr(ceilings_module, "_MATRIX_SIDE", {"cpu": 256})
    found = measure_ceilings(torch.device("cpu"), dtype)
    assert 1e7 < found.macs_per_s < 1e14
    assert 1e8 < found.bytes_per_s < 1e13
    assert 1e-8 < found.launch_s < 1e-2
