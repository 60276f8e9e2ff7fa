"""Workers of a harness that runs as root: who they are, what they see, and what is left of them."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from patience import soon

from harness.errors import WorkerError
from harness.isolation import exposure, unprivileged
from harness.isolation.exposure import exposure as exposed
from harness.isolation.limits import Limits
from harness.isolation.sandbox import Choice
from harness.isolation.session import Session
from harness.isolation.unprivileged import Descent, descent, descent_problem, is_root, new_user, remove_user

root_only = pytest.mark.skipif(
    not is_root() or descent_problem() is not None, reason="the tests do not run as root, or root may not do this"
)
mounts_only = pytest.mark.skipif(
    not is_root() or unprivileged.private_folders_problem() is not None, reason="no private mount namespace"
)


def run(way: Descent, code: str) -> str:
    done = subprocess.run(
        way.command(["/bin/sh", "-c", code]), capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    return done.stdout + done.stderr


@pytest.fixture
def way(tmp_path: Path) -> Descent:
    found = descent(tmp_path, Path(sys.executable))
    assert found is not None
    return found


@root_only
def test_the_user_is_new_and_has_no_rights(way: Descent) -> None:
    status = dict(line.split(":", 1) for line in run(way, "cat /proc/self/status").splitlines() if ":" in line)
    assert status["Uid"].split() == status["Gid"].split() == [str(way.user)] * 4
    assert status["Groups"].split() == []
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert way.user != new_user()


@mounts_only
def test_folders_that_only_root_can_reach_are_seen_at_their_places(tmp_path: Path) -> None:
    outer = tmp_path / "closed"
    (outer / "python").mkdir(parents=True)
    (outer / "python" / "file").write_text("needed")
    (outer / "secret").write_text("not needed")
    outer.chmod(0o700)
    (tmp_path / "link").symlink_to(outer / "python")
    way = descent(tmp_path, Path(sys.executable))
    assert way is not None
    for path in (outer / "python", tmp_path / "link"):
        seen = replace(way, visible=(str(path),), copied=())
        assert run(seen, f"cat {path}/file") == "needed"
        assert "No such file" in run(seen, f"cat {outer}/secret")
        assert "ermission denied" in run(seen, f"touch {path}/new") or "Read-only" in run(seen, f"touch {path}/new")


@mounts_only
def test_a_submission_that_only_root_can_read_is_copied(tmp_path: Path) -> None:
    root = tmp_path / "submission"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "arch.py").write_text("code")
    (root / "deep" / "er" / "arch.py").chmod(0o600)
    (root / "link").symlink_to("deep")
    os.mkfifo(root / "pipe")
    way = descent(root, Path(sys.executable))
    assert way is not None
    assert run(way, f"cat {root}/link/er/arch.py") == "code"
    assert "No such file" in run(way, f"cat {root}/pipe")
    assert "ermission denied" in run(way, f"touch {root}/new") or "Read-only" in run(way, f"touch {root}/new")
    assert (root / "deep" / "er" / "arch.py").stat().st_mode & 0o777 == 0o600
    small = replace(way, copied_bytes=4096)
    (root / "large").write_bytes(bytes(100_000))
    (root / "large").chmod(0o600)
    assert "No space left" in run(small, "true")


@mounts_only
def test_private_folders_have_a_size_and_a_number_of_files(
    way: Descent, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("private")
    small = way.with_folder(folder, Limits(tmp_bytes=1 << 20, tmp_files=100))
    for place in ("/tmp", "/dev/shm", "/var/tmp", str(folder)):
        assert "No space left" in run(small, f"head -c 3000000 /dev/zero > {place}/large"), place
        many = f"i=0; while [ $i -lt 200 ]; do : > {place}/$i || exit; i=$((i+1)); done; echo all"
        assert "all" not in run(small, many), place
    assert run(small, "pwd").strip() == str(folder)
    assert list(folder.iterdir()) == []
    assert "No such file" in run(small, f"cat {unprivileged.PACKAGE}/data/embedded/catalogue.toml")


@mounts_only
def test_objects_of_system_v_are_not_shared(way: Descent) -> None:
    before = Path("/proc/sysvipc/shm").read_text()
    code = "import ctypes; print(ctypes.CDLL(None).shmget(77, 4096, 0o1666) >= 0)"
    assert run(way, f"python3 -c '{code}'").strip() == "True"
    assert Path("/proc/sysvipc/shm").read_text() == before


@root_only
def test_nothing_of_a_user_is_left(way: Descent) -> None:
    plain = replace(way, mounts=False)
    mark = Path("/dev/shm") / f"left-{way.user}"
    process = subprocess.Popen(plain.command(["/bin/sh", "-c", f"touch {mark}; setsid sleep 200 & sleep 200"]), cwd="/")
    assert soon(lambda: len(processes_of(way.user)) == 3 and mark.exists())
    remove_user(way.user)
    process.wait(60)
    assert soon(lambda: processes_of(way.user) == [])
    assert not mark.exists()


def processes_of(user: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == user and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


DAEMON = """
import ctypes, os, subprocess, sys, time
from torch import nn

def srmodel(scale=2):
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", "9{mark}"])
        os._exit(0)
    {then}
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale))
"""


def sleeping(mark: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline() == ["sleep", f"9{mark}"]:
                found.append(process.pid)
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descendants are kept on Linux only")
@pytest.mark.parametrize("then", ["time.sleep(1)", "os._exit(3)", "time.sleep(0.5); os.kill(os.getpid(), 11)"])
def test_a_daemon_ends_with_its_worker(open_small: Callable[..., Session], then: str) -> None:
    mark = 10_000 + time.monotonic_ns() % 80_000
    session = open_small(DAEMON.format(mark=mark, then=then), sandbox="process")
    if "sleep(1)" in then:
        session.load()
        assert soon(lambda: len(sleeping(mark)) >= 1)  # one for each call of the factory
    else:
        end = "exited with status 3" if "exit" in then else "was killed by SIGSEGV"
        with pytest.raises(WorkerError, match=end):
            session.load()
    session.close()
    assert soon(lambda: sleeping(mark) == [])


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def sentences(confinement: str, *, root: bool, problem: str | None = None) -> list[str]:
        monkeypatch.setattr(exposure, "is_root", lambda: root)
        monkeypatch.setattr(exposure, "descent_problem", lambda: problem)
        monkeypatch.setattr(exposure, "private_folders_problem", lambda: None)
        return exposed(Choice(confinement))  # type: ignore[arg-type]

    return sentences


def test_what_is_not_confined_is_said(as_user: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert as_user("bwrap", root=True) == []
    (own,) = as_user("process", root=False)
    assert "not confined" in own
    assert "read and write all files that you can" in own
    (unprivileged_,) = as_user("process", root=True)
    assert "unprivileged user" in unprivileged_
    (full,) = as_user("process", root=True, problem="the container has no second user id")
    assert "as root, with full control" in full
    assert "no second user id" in full
    assert "as root" in as_user("none", root=True)[0]
    monkeypatch.setattr(exposure, "filter_program", lambda: None)
    assert "not filtered" in as_user("bwrap", root=False)[0]


def test_only_root_changes_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(unprivileged, "is_root", lambda: False)
    assert new_user() is None
    assert descent(tmp_path, Path(sys.executable)) is None
    monkeypatch.setattr(unprivileged, "is_root", lambda: True)
    monkeypatch.setattr(unprivileged, "_is_mapped", lambda ids, path: False)  # a container with one user
    assert new_user() is None
    assert unprivileged.descent_problem.__wrapped__() == "the container has no second user id"
