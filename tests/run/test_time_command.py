"""``harness time``: of several submissions it says what each takes, and how much longer than the fastest."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.cli.times import print_comparison, print_times
from harness.engines.inline import InlineEngine
from harness.results import TimingRecord
from harness.results.measurement import RoundTimes
from harness.results.run_info import DeviceInfo
from harness.results.schema import Runtime
from harness.run.plan import RunRequest, make_plan
from harness.run.time_only import SubmissionTime, Times
from harness.statistics.process_spread import ASSUMED_SPREAD

Submit = Callable[..., Path]


@pytest.fixture(autouse=True)
def _small(tiny_track: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.time_only.LocalEngine", InlineEngine)
    monkeypatch.setenv("COLUMNS", "200")


def time(*paths: Path) -> tuple[int, str]:
    options = ["--scale", "2", "--device", "cpu", "--time-budget", "0.5"]
    result = CliRunner().invoke(app, ["time", *map(str, paths), *options])
    return result.exit_code, result.stdout


def scripted(name: str, ms: float, session: str = "s") -> SubmissionTime:
    """Return a network that was timed in thirty rounds of one call."""
    noise = np.random.default_rng(len(name)).normal(1.0, 0.002, 30)
    rounds = [RoundTimes(number=number, calls=1, anchor_ms=(1.0, 1.0)) for number in range(30)]
    samples = [(float(at), ms * factor) for at, factor in enumerate(noise)]
    timing = TimingRecord(clock="scripted", samples=samples, session=session, rounds=rounds)
    runtime = Runtime(median=ms, mean=ms, p95=ms, ci=(ms, ms), samples=30, stable=True)
    return SubmissionTime(name, runtime, timing, None, None, False, None, None, None, None)


def test_others_are_compared_with_the_fastest_of_their_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [scripted("slow", 12.0), scripted("quick", 10.0), scripted("elsewhere", 15.0, "another")]
    print_comparison(rows, ASSUMED_SPREAD)
    printed = capsys.readouterr().out
    assert "times as long as quick" in printed
    assert "elsewhere" not in printed
    (ratio, low, high, p_value) = re.search(
        r"slow +│ (\d\.\d{4}) +│ (\d\.\d{4}) to (\d\.\d{4}) +│ ([<\d. ]+?) +│", printed
    ).groups()
    assert float(ratio) == pytest.approx(1.2, rel=0.002)
    assert 1.15 < float(low) < float(ratio) < float(high) < 1.25
    assert p_value == "< 0.001"


def test_an_unstable_time_says_so_beside_its_note(
    capsys: pytest.CaptureFixture[str], submit: Submit, request_for: Callable[..., RunRequest]
) -> None:
    row = scripted("slow", 12.0)
    doubtful = replace(row, runtime=row.runtime.model_copy(update={"stable": False, "note": "it drifted"}))
    device = DeviceInfo(kind="cpu", name="a CPU", torch="2", threads=1)
    protocol = make_plan(request_for(submissions=(submit("one"),))).protocol_info()
    print_times(Times(device, protocol, [doubtful, row], ASSUMED_SPREAD, "beware"))
    printed = capsys.readouterr().out
    assert "unstable; it drifted" in printed
    assert printed.count("unstable") == 1
    assert "warning: beware" in printed


def test_several_submissions_are_timed_together(submit: Submit) -> None:
    status, printed = time(submit("first"), submit("second", "x = x * 0.9"))
    assert status == 0, printed
    assert {"first", "second"} <= set(printed.split())


def test_one_submission_is_compared_with_nothing(submit: Submit) -> None:
    status, printed = time(submit("one"))
    assert status == 0, printed
    assert "times as long" not in printed
    assert "robust" in printed


def test_what_failed_is_said_beside_the_times_of_others(submit: Submit) -> None:
    status, printed = time(submit("good"), submit("bad", "raise RuntimeError('inside')"))
    assert status == 1
    assert "inside" in printed
    assert "times as long" not in printed
