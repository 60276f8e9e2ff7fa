"""``harness time``: of several submissions it says what each takes, and how much longer than the fastest."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.engines import InlineEngine

Submit = Callable[..., Path]


@pytest.fixture(autouse=True)
def _small(tiny_track: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.stopwatch.LocalEngine", InlineEngine)
    monkeypatch.setenv("COLUMNS", "200")


def time(*paths: Path) -> tuple[int, str]:
    options = ["--scale", "2", "--device", "cpu", "--time-budget", "0.5"]
    result = CliRunner().invoke(app, ["time", *map(str, paths), *options])
    return result.exit_code, result.stdout


def test_several_submissions_are_compared_with_the_fastest(submit: Submit) -> None:
    slow = submit("slow", "time.sleep(0.02)", before="import time\n\n")
    quick = submit("quick", "time.sleep(0.01)", before="import time\n\n")
    status, printed = time(slow, quick)
    assert status == 0, printed
    assert "times as long as quick" in printed
    (ratio, low, high, p_value) = re.search(
        r"│ slow +│ (\d\.\d{4}) +│ (\d\.\d{4}) to (\d\.\d{4}) +│ ([<\d. ]+?) +│", printed
    ).groups()
    assert 1.3 < float(ratio) < 2.2
    assert float(low) < float(ratio) < float(high)
    assert p_value == "< 0.001" or float(p_value) < 0.3


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
