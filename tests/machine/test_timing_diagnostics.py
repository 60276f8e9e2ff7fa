"""Timing diagnostics of simulated machines, made of files in place of /sys and /proc."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.machine import load
from harness.machine.diagnostic import Diagnostic
from harness.machine.timing_diagnostics import MachineFiles, load_diagnostic, timing_diagnostics

Diagnose = Callable[[], dict[str, Diagnostic]]


@pytest.fixture
def diagnostics(tmp_path: Path) -> Diagnose:
    """Return a function that returns the diagnostics of a machine that the folder describes."""
    files = MachineFiles(tmp_path / "cpu", tmp_path / "cpu.max", tmp_path / "cpu.stat")
    return lambda: {one.name: one for one in timing_diagnostics(files, load_s=0.01)}


def test_a_governor_that_saves_power_is_pointed_out(tmp_path: Path, diagnostics: Diagnose) -> None:
    governor = tmp_path / "cpu" / "cpu0" / "cpufreq" / "scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    assert diagnostics()["frequency"].level == "warn"
    governor.write_text("performance\n")
    assert diagnostics()["frequency"].level == "ok"


def test_limits_of_a_container_are_pointed_out(tmp_path: Path, diagnostics: Diagnose) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1\nnr_throttled 7\n")
    assert "1.5 cores" in diagnostics()["quota"].value
    assert "--threads 1" in diagnostics()["quota"].hint
    assert "7 times" in diagnostics()["throttling"].value


def test_a_machine_that_reports_nothing_has_few_diagnostics(diagnostics: Diagnose) -> None:
    assert {"load", "threads", "frequency"} <= diagnostics().keys()
    assert not {"quota", "throttling"} & diagnostics().keys()


@pytest.mark.parametrize(
    ("idle", "steal", "level", "words"), [(0.2, 0.0, "warn", "by other programs"), (0.1, 0.5, "warn", "host")]
)
def test_load_is_what_other_programs_use_now(
    monkeypatch: pytest.MonkeyPatch, idle: float, steal: float, level: str, words: str
) -> None:
    readings = iter([SimpleNamespace(idle=0.0, steal=0.0), SimpleNamespace(idle=idle * 1e-6, steal=steal)])
    monkeypatch.setattr(load.psutil, "cpu_times", lambda: next(readings))
    diagnostic = load_diagnostic(*load.busy_share(1e-6))
    assert diagnostic.level == level
    assert words in diagnostic.value
