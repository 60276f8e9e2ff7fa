"""What makes the times of a run doubtful is found in its records, and a quiet run has none of it."""

import pytest

from harness.results.measurement import GpuReading, RoundTimes, TimingRecord
from harness.results.run_info import ProcessSpreadInfo
from harness.results.schema import Entry, Runtime
from harness.statistics.disturbances import find_disturbances, foreign_load


def record(busy=None, slowed_by=()):
    card = GpuReading(at_s=1.0, clock_mhz=1500, temperature_c=60, slowed_by=list(slowed_by))
    turn = RoundTimes(number=0, calls=1, anchor_ms=(1.0, 1.0), card=card)
    return TimingRecord(clock="clock", samples=[(0.0, 1.0)], rounds=[turn], busy=busy)


def entry(name="net", *, stable=True):
    runtime = Runtime(median=1.0, mean=1.0, ci=(1.0, 1.0), p95=1.0, samples=9, stable=stable)
    return Entry(name=name, kind="submission", status="ok", runtime_ms=runtime)


def kinds(*args):
    return [one.kind for one in find_disturbances(*args)]


def test_a_quiet_run_has_none():
    spread = ProcessSpreadInfo(relative=0.012, degrees=9)
    assert kinds([entry()], [record(0.04, ["power cap"])], spread) == []
    assert kinds([entry()], [record()], None) == []
    assert kinds([], [], None) == []


@pytest.mark.parametrize(
    ("entries", "records", "spread", "kind", "figure"),
    [
        ([entry()], [record(0.1), record(0.79)], None, "load", "79% of the processor when the timing of 1 of 2"),
        ([entry()], [record(slowed_by=["hardware thermal slowdown"])], None, "throttling", "at 1 of 1 readings"),
        ([entry()], [record()], ProcessSpreadInfo(relative=0.42, degrees=9), "spread", "differ by 42%"),
        (
            [entry("one", stable=False), entry("two")],
            [record()],
            None,
            "unsettled",
            "1 of 2 networks did not settle: one",
        ),
    ],
)
def test_each_disturbance_is_named_with_its_figures_and_what_to_do(entries, records, spread, kind, figure):
    (found,) = find_disturbances(entries, records, spread)
    assert found.kind == kind
    assert figure in found.text
    assert found.advice
    assert found.sentence == f"{found.text} {found.advice}"


def test_the_load_is_the_largest_and_unknown_without_readings():
    assert foreign_load([record(0.2), record(), record(0.5)]) == 0.5
    assert foreign_load([record()]) is None


def test_many_names_are_counted():
    (found,) = find_disturbances([entry(f"net {at}", stable=False) for at in range(9)], [], None)
    assert found.text.endswith("net 0, net 1, net 2 and 6 more.")
