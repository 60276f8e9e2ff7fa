"""Counts that a submission's process forges: bounds, and the count in a process without its code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engines import LocalEngine
from harness.pipeline import run
from harness.results import Measurement, TimingRecord
from harness.results.schema import Ceilings
from harness.run.plan import RunRequest
from harness.run.plausibility import violation

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]

NETWORK = """
import torch
from torch import nn
{before}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        {body}
        return torch.pixel_shuffle(self.conv(x), 2)

def srmodel():
    torch.manual_seed(0)
    return Net()
"""
FORGED = """
import harness.complexity.count
harness.complexity.count.count_parameters = lambda network: {}
"""
ANOTHER_GRAPH = """
import harness.worker.graph
honest = harness.worker.graph.exported
class Small(nn.Module):
    def forward(self, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)
harness.worker.graph.exported = lambda network, multiple: honest(Small(), multiple)
"""


@pytest.fixture
def write(submit: Submit) -> Callable[..., None]:
    """Return a function that writes a submission with a convolution of 336 parameters."""

    def make(name: str, before: str = "", body: str = "pass") -> None:
        (submit(name) / "arch.py").write_text(NETWORK.format(before=before, body=body))

    return make


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_counts_are_found_out_without_the_submissions_code(write: Callable[..., None], request_for: Request) -> None:
    write("honest")
    write("no-parameters", FORGED.format(0))
    write("too-many", FORGED.format(2**62))
    write("another-graph", ANOTHER_GRAPH)
    write("depends-on-values", body="x = x if float(x.mean()) < 2 else x * 0")
    request = request_for(recount=True, timeout_s=120.0)
    rows = {entry.name: entry for entry in run(request, engine=LocalEngine()).run.entries}

    params, macs = 12 * 3 * 9 + 12, 12 * 3 * 9 * 24 * 32
    for name in ("honest", "no-parameters"):
        row = rows[name]
        assert (row.status, row.params, row.macs, row.counted_by) == ("ok", params, macs, "graph"), row.error
        assert any("counted in a process without its code" in note for note in row.notes)
    assert not any("reports" in note for note in rows["honest"].notes)
    assert any("reports params 0, its graph has 336" in note for note in rows["no-parameters"].notes)
    assert rows["too-many"].status == "ok"
    assert rows["too-many"].params in (None, params)
    assert any("not counted" in note and "less than or equal to" in note for note in rows["too-many"].notes)
    for name, reason in (("another-graph", "computes another image"), ("depends-on-values", "cannot be exported")):
        row = rows[name]
        assert (row.status, row.counted_by) == ("ok", "process"), row.error
        assert any("what its own process reports" in note and reason in note for note in row.notes), row.notes


def timed(ms: float, *, macs: int | None = None, ceilings: Ceilings | None = None) -> Measurement:
    samples = [(float(at), ms) for at in range(5)]
    empty = Measurement.empty("abc")
    timing = TimingRecord(clock="host", samples=samples)
    return empty.model_copy(update={"timing": timing, "macs": macs, "ceilings": ceilings})


def test_a_time_shorter_than_any_call_is_a_foul() -> None:
    shape = (1, 3, 2160, 3840)
    assert "19,000,000 fps" in (violation(timed(1000 / 19e6), shape) or "")
    assert violation(timed(0.002), shape) is None
    assert violation(Measurement.empty("abc"), shape) is None


def test_a_rate_beyond_the_devices_ceilings_is_a_foul() -> None:
    shape, device = (1, 3, 2160, 3840), Ceilings(macs_per_s=1e11, bytes_per_s=1e10, launch_s=1e-6)
    least_ms = 2 * 3 * 2160 * 3840 / (20 * 1e10) * 1e3  # two bytes for each value, twenty times the ceiling: 0.249 ms
    assert violation(timed(least_ms * 1.01, ceilings=device), shape) is None
    assert "cannot write 49.8 MB" in (violation(timed(least_ms * 0.99, ceilings=device), shape) or "")
    assert violation(timed(10.0, macs=int(1.9e10), ceilings=device), shape) is None
    message = violation(timed(10.0, macs=int(2.1e10), ceilings=device), shape)
    assert message is not None
    assert message.startswith("2.1 T multiply-accumulates in a second, where the device has done 0.1 T")
