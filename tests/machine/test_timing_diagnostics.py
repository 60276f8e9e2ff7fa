"""Timing diagnostics of simulated machines, made of files in place of /sys and /proc."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.machine import load, timing_diagnostics
from harness.machine.diagnostic import Diagnostic


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, place in (("_CPU", "cpu"), ("_CGROUP_QUOTA", "cpu.max"), ("_CGROUP_THROTTLED", "cpu.stat")):
        monkeypatch.setattr(timing_diagnostics, name, tmp_path / place)
    monkeypatch.setattr(load, "_INTERVAL_S", 0.01)
    return tmp_path


def diagnostics() -> dict[str, Diagnostic]:
    return {one.name: one for one in timing_diagnostics.timing_diagnostics()}


def test_a_governor_that_saves_power_is_pointed_out(machine: Path) -> None:
    governor = machine / "cpu" / "cpu0" / "cpufreq" / "scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    assert diagnostics()["frequency"].level == "warn"
    governor.write_text("performance\n")
    assert diagnostics()["frequency"].level == "ok"


def test_limits_of_a_container_are_pointed_out(machine: Path) -> None:
    (machine / "cpu.max").write_text("150000 100000\n")
    (machine / "cpu.stat").write_text("usage_usec 1\nnr_throttled 7\n")
    assert "1.5 cores" in diagnostics()["quota"].value
    assert "--threads 1" in diagnostics()["quota"].hint
    assert "7 times" in diagnostics()["throttling"].value


def test_a_machine_that_reports_nothing_has_few_diagnostics(machine: Path) -> None:
    assert {"load", "threads", "frequency"} <= diagnostics().keys()
    assert not {"quota", "throttling"} & diagnostics().keys()


@pytest.mark.parametrize(
    ("idle", "steal", "level", "words"), [(0.2, 0.0, "warn", "by other programs"), (0.1, 0.5, "warn", "host")]
)
def test_load_is_what_other_programs_use_now(
    machine: Path, monkeypatch: pytest.MonkeyPatch, idle: float, steal: float, level: str, words: str
) -> None:
    readings = iter([SimpleNamespace(idle=0.0, steal=0.0), SimpleNamespace(idle=idle * 1e-6, steal=steal)])
    monkeypatch.setattr(load.psutil, "cpu_times", lambda: next(readings))
    diagnostic = timing_diagnostics._load()
    assert diagnostic.level == level
    assert words in diagnostic.value
