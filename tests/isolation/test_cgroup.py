"""Control groups, on trees of plain files in place of the kernel's."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.isolation import cgroup
from harness.isolation.cgroup import Group, cgroup_problem, make_group
from harness.isolation.limits import UNLIMITED, Limits
from harness.isolation.sandbox_diagnostics import sandbox_diagnostics
from harness.isolation.session import Session


@pytest.fixture
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the group that this process is in: delegated, divided, and empty."""
    folder = tmp_path / "cgroup" / "run-1.scope"
    folder.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("4:memory:/elsewhere\n0::/run-1.scope\n")
    (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
    (folder / "cgroup.subtree_control").write_text("memory pids\n")
    monkeypatch.setattr(cgroup, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroup, "OWN", own)
    return folder


def test_a_group_has_the_limits(scope: Path) -> None:
    group = make_group(Limits(memory_bytes=1 << 30, tasks=64))
    assert group is not None
    assert group.path.parent == scope
    found = {name: (group.path / name).read_text() for name in ("memory.max", "memory.oom.group", "pids.max")}
    assert found == {"memory.max": str(1 << 30), "memory.oom.group": "1", "pids.max": "64"}


def test_two_workers_have_two_groups_and_one_without_limits_has_none(scope: Path) -> None:
    one, other = make_group(Limits()), make_group(Limits())
    assert one is not None
    assert other is not None
    assert one.path != other.path
    assert make_group(UNLIMITED) is None


def test_a_command_enters_the_group_before_it_begins(tmp_path: Path) -> None:
    group = Group(tmp_path)
    program = f"import os; print(os.getpid(), open({str(tmp_path / 'cgroup.procs')!r}).read())"
    with subprocess.Popen(group.joining([sys.executable, "-c", program]), stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate(timeout=60)
    assert said.split() == [str(process.pid), "0"]


def test_a_command_that_cannot_enter_does_not_begin(tmp_path: Path) -> None:
    done = subprocess.run(
        Group(tmp_path / "gone").joining(["echo", "begun"]), capture_output=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("events", "ended"), [("low 0\noom 1\noom_kill 1\n", True), ("oom_kill 0\n", False), ("", False)]
)
def test_the_kernels_count_of_kills_is_read(tmp_path: Path, events: str, ended: bool) -> None:
    (tmp_path / "memory.events").write_text(events)
    assert Group(tmp_path).ran_out_of_memory() is ended


def test_what_is_left_in_a_group_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "group"
    folder.mkdir()
    Group(folder).remove(timeout_s=0.05)
    assert (folder / "cgroup.kill").read_text() == "1"
    Group(tmp_path / "never made").remove()


def test_the_controller_moves_aside_where_the_group_is_not_divided_yet(scope: Path) -> None:
    (scope / "cgroup.subtree_control").write_text("")
    (scope / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert cgroup_problem() is None
    assert (scope / "sr-harness-controller" / "cgroup.procs").read_text() == str(os.getpid())
    assert (scope / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_a_controller_that_moved_aside_finds_its_group_again(scope: Path) -> None:
    cgroup.OWN.write_text("0::/run-1.scope/sr-harness-controller\n")
    group = make_group(Limits())
    assert group is not None
    assert group.path.parent == scope


def test_processes_of_others_are_left_where_they_are(scope: Path) -> None:
    (scope / "cgroup.subtree_control").write_text("")
    (scope / "cgroup.procs").write_text(f"{os.getpid()}\n{os.getppid()}\n")
    assert "other processes" in str(cgroup_problem())
    assert make_group(Limits()) is None
    assert not (scope / "sr-harness-controller").exists()


def test_the_doctor_says_what_is_missing_and_how_to_get_it(scope: Path) -> None:
    diagnostics = {one.name: one for one in sandbox_diagnostics()}
    assert diagnostics["control group of each worker"].level == "ok"
    (scope / "cgroup.controllers").write_text("cpu\n")
    diagnostic = {one.name: one for one in sandbox_diagnostics()}["control group of each worker"]
    assert diagnostic.level == "missing"
    assert "systemd-run --user --scope" in diagnostic.hint


def test_a_worker_runs_in_its_group_and_the_row_says_so(scope: Path, open_small: Callable[..., Session]) -> None:
    session = open_small(sandbox="process")
    assert session.load().size_multiple == 1
    (folder,) = scope.glob("sr-harness-*")
    assert (folder / "cgroup.procs").read_text() == "0\n"
    assert session.isolation == "process with limits, control group"
    session.close()
    assert (folder / "cgroup.kill").read_text() == "1"
