"""Protocols, and what a worker loads of them."""

import subprocess
import sys

import pytest

from harness.timing import ESR, ROBUST


@pytest.mark.parametrize(("call_ms", "slow"), [(10.0, False), (2600.0, False), (2700.0, True), (9000.0, True)])
def test_a_call_is_slow_that_takes_more_than_a_third_of_the_budget(call_ms: float, slow: bool) -> None:
    assert ROBUST.budget_s == 8.0
    assert ROBUST.is_slow(call_ms) == slow


def test_without_a_budget_no_call_is_slow() -> None:
    assert ESR.budget_s is None
    assert not ESR.is_slow(1e9)


def test_a_worker_that_imports_the_package_loads_nothing_of_the_controller() -> None:
    program = "import sys, harness.timing; print(*(name for name in sys.modules if name.startswith('harness.')))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    packages = {name.split(".")[1] for name in loaded}
    assert packages <= {"timing", "results", "errors", "plain_files", "suggestions", "text"}, packages
    assert {name for name in loaded if name.startswith("harness.timing.")} == {
        "harness.timing.frames",
        "harness.timing.protocol",
    }
