"""The exported graph of a network is timed in a process without the submission's code."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.engines import LocalEngine
from harness.errors import WorkerError
from harness.pipeline import run
from harness.results import Measurement, TimingRecord
from harness.results.measurement import RoundTimes
from harness.run.context import RunContext
from harness.run.graph_timing import GraphTime, _anchor_session, compare, with_graph_time
from harness.run.plan import RunRequest
from harness.timing.bursts import AnchorLostError

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]

NETWORK = """
import torch
from torch import nn
{before}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*(nn.Conv2d(3 if not i else 32, 32, 3, padding=1) for i in range(3)))
        self.tail = nn.Conv2d(32, 12, 3, padding=1)

    def forward(self, x):
        {body}
        return torch.pixel_shuffle(self.tail(self.body(x)), 2)

def srmodel():
    torch.manual_seed(0)
    return Net()
"""
# Computes before the window begins, and marks and times an empty one. What it hides is below what clocks can prove.
REWRITES_ITS_WORKER = """
import time
from harness.worker import clock

def time_nothing(self, call):
    output = call()
    self._mark()
    begin = time.perf_counter_ns()
    milliseconds = (time.perf_counter_ns() - begin) / 1e6 + 0.1
    self._mark()
    return clock.Reading(milliseconds, milliseconds, output)

clock.HostClock.time = time_nothing
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_graph_tells_what_a_rewritten_worker_hides(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on an idle machine, where a call of this size hides below what clocks can prove.
    monkeypatch.setattr("harness.timing.round_checks.check_clocks", lambda *_: None)
    for name, before, body in (
        ("honest", "", "pass"),
        ("rewrites-its-worker", REWRITES_ITS_WORKER, "pass"),
        ("depends-on-values", "", "x = x if float(x.mean()) < 2 else x * 0"),
    ):
        (submit(name) / "arch.py").write_text(NETWORK.format(before=before, body=body))
    request = request_for(verify_graph=True, timeout_s=120.0, protocol="robust", time_budget_s=1.5, processes=1)
    finished = run(request, engine=LocalEngine()).run
    rows = {entry.name: entry for entry in finished.entries}
    assert {name: row.error for name, row in rows.items()} == dict.fromkeys(rows)
    notes = {name: "\n".join(row.notes) for name, row in rows.items()}
    assert "its exported graph alone takes" in notes["honest"]
    assert "suspicious" not in notes["honest"]
    assert "suspicious: its exported graph alone takes" in notes["rewrites-its-worker"]
    (warning,) = [warning for warning in finished.warnings if "suspicious" in warning]
    assert warning.startswith("rewrites-its-worker: ")
    assert "its time is not verified by its graph" in notes["depends-on-values"]
    assert "cannot be exported" in notes["depends-on-values"]


def in_rounds(ms: float, anchor_ms: float) -> TimingRecord:
    """Return a timing of ten rounds of two calls."""
    rounds = [RoundTimes(number=number, calls=2, process=0, anchor_ms=(anchor_ms, anchor_ms)) for number in range(10)]
    return TimingRecord(clock="scripted", samples=[(float(at), ms) for at in range(20)], rounds=rounds)


def alone(ms: float) -> TimingRecord:
    return TimingRecord(clock="scripted", samples=[(float(at), ms) for at in range(20)])


def test_times_are_compared_by_their_ratios_to_the_anchor() -> None:
    slow_machine, fast_machine = in_rounds(8.0, 4.0), in_rounds(5.0, 1.0)  # 2 and 5 times the anchor's time
    assert compare(slow_machine, fast_machine) == pytest.approx(2.5)
    assert compare(alone(8.0), alone(6.0)) == pytest.approx(0.75)
    assert compare(alone(8.0), fast_machine) == pytest.approx(5.0 / 8.0)  # of a protocol without rounds
    assert compare(TimingRecord(clock="scripted", samples=[]), alone(6.0)) is None


def test_a_network_much_faster_than_its_graph_is_a_warning() -> None:
    empty = Measurement.empty("abc")
    quiet = with_graph_time(empty, GraphTime(1.4, 7.0))
    assert (quiet.notes, quiet.warnings) == (["its exported graph alone takes 1.40 times as long (7 ms)"], [])
    loud = with_graph_time(empty, GraphTime(24.1, 58.0))
    assert "24.10 times as long (58 ms)" in loud.notes[0]
    assert loud.warnings == loud.notes
    unknown = with_graph_time(empty, GraphTime(reason="it cannot be exported"))
    assert unknown.notes == ["its time is not verified by its graph: it cannot be exported"]


def test_an_anchor_that_does_not_start_is_no_fault_of_the_graph() -> None:
    class Failing:
        def open(self) -> None:
            raise WorkerError("no memory is left", stage="load", kind="MemoryError")

    with pytest.raises(AnchorLostError, match="no memory is left"):
        _anchor_session(cast("RunContext", SimpleNamespace(anchor=Failing())))
