"""What the machine says of itself, on machines made of files."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.machine import load
from harness.machine import timing_diagnostics as doctor
from harness.machine.diagnostic import Diagnostic


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, place in (("_CPU", "cpu"), ("_CGROUP_QUOTA", "cpu.max"), ("_CGROUP_THROTTLED", "cpu.stat")):
        monkeypatch.setattr(doctor, name, tmp_path / place)
    monkeypatch.setattr(load, "_LOOK_S", 0.01)
    return tmp_path


def facts() -> dict[str, Diagnostic]:
    return {fact.name: fact for fact in doctor.timing_facts()}


def test_a_governor_that_saves_power_is_pointed_out(machine: Path) -> None:
    governor = machine / "cpu" / "cpu0" / "cpufreq" / "scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    assert facts()["frequency"].level == "warn"
    governor.write_text("performance\n")
    assert facts()["frequency"].level == "ok"


def test_limits_of_a_container_are_pointed_out(machine: Path) -> None:
    (machine / "cpu.max").write_text("150000 100000\n")
    (machine / "cpu.stat").write_text("usage_usec 1\nnr_throttled 7\n")
    assert "1.5 cores" in facts()["quota"].value
    assert "--threads 1" in facts()["quota"].hint
    assert "7 times" in facts()["throttling"].value


def test_a_machine_that_tells_nothing_has_few_facts(machine: Path) -> None:
    assert {"load", "threads", "frequency"} <= facts().keys()
    assert not {"quota", "throttling"} & facts().keys()


@pytest.mark.parametrize(
    ("idle", "steal", "level", "words"), [(0.2, 0.0, "warn", "by others"), (0.1, 0.5, "warn", "host")]
)
def test_load_is_what_others_take_now(
    machine: Path, monkeypatch: pytest.MonkeyPatch, idle: float, steal: float, level: str, words: str
) -> None:
    readings = iter([SimpleNamespace(idle=0.0, steal=0.0), SimpleNamespace(idle=idle * 1e-6, steal=steal)])
    monkeypatch.setattr(load.psutil, "cpu_times", lambda: next(readings))
    fact = doctor._load()
    assert fact.level == level
    assert words in fact.value
