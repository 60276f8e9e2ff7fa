"""What a worker sees of the machine in a sandbox, and how the harness decides what it can have."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.errors import UsageError, WorkerError
from harness.isolation import sandbox
from harness.isolation import sandbox_diagnostics as doctor
from harness.isolation.environment import PACKAGE
from harness.isolation.ground_truth import visible_images
from harness.isolation.job import Job
from harness.isolation.limits import Limits
from harness.isolation.opening import open_session
from harness.isolation.sandbox import bwrap_command, bwrap_problem, choose
from harness.isolation.session import Session
from harness.isolation.unprivileged import descent
from harness.submissions.discovery import Submission, discover

needs_bwrap = pytest.mark.skipif(bwrap_problem() is not None, reason=f"no sandbox: {bwrap_problem()}")


def inside(script: str, root: Path, **environment: str) -> str:
    """Run a shell script in a sandbox and return what it prints."""
    command = bwrap_command(
        ["/bin/sh", "-c", script],
        environment={"PATH": "/usr/bin:/bin", **environment},
        root=root,
        inside=Path("/submission"),
        tmp_bytes=1 << 20,
        accelerator=False,
    )
    way = descent(root, Path(sys.executable))
    command = command if way is None else way.command(command)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@needs_bwrap
def test_the_submission_is_all_that_is_there_and_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "arch.py").write_text("")
    (tmp_path.parent / "secret.txt").write_text("ground truth")
    assert inside("ls /submission", tmp_path).split() == ["arch.py"]
    assert "Read-only" in inside("touch /submission/new", tmp_path)
    assert "Read-only" in inside("rm /submission/arch.py", tmp_path)
    assert "No such file" in inside(f"cat {tmp_path.parent}/secret.txt", tmp_path)
    assert (tmp_path / "arch.py").exists()


@needs_bwrap
def test_what_no_fingerprint_covers_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "arch.py").write_text("")
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "README.md").write_text("hashed")
    for name in ("README.md", "submission.toml"):
        (tmp_path / name).write_text("secret")
    for name in (".git", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("secret")
    seen = inside("cat /submission/*.* /submission/*/* /submission/.git/*", tmp_path)
    assert "secret" not in seen
    assert "hashed" in seen


@needs_bwrap
@pytest.mark.parametrize("place", ["/", "/usr", "/etc", "/dev", "/home", str(PACKAGE)])
def test_nothing_but_tmp_can_be_written(tmp_path: Path, place: str) -> None:
    assert inside(f"touch {place}/new && echo written", tmp_path).strip() != "written"
    assert inside("touch /tmp/new && echo written", tmp_path).strip() == "written"


@needs_bwrap
def test_tmp_and_shared_memory_have_a_size(tmp_path: Path) -> None:
    assert "No space left" in inside("head -c 3000000 /dev/zero > /tmp/large", tmp_path)
    assert "No space left" in inside("head -c 300000000 /dev/zero > /dev/shm/large", tmp_path)


@needs_bwrap
def test_ground_truth_that_ships_with_the_package_is_covered(tmp_path: Path) -> None:
    assert (Path(harness.__file__).parent / "data" / "embedded" / "catalogue.toml").exists()
    assert inside(f"ls {PACKAGE}/data/embedded", tmp_path) == ""
    assert inside("find / -name catalogue.toml -not -path '/proc/*' 2>/dev/null", tmp_path) == ""


@needs_bwrap
def test_ground_truth_is_covered_wherever_an_environment_is(tmp_path: Path) -> None:
    images = tmp_path / "real" / "lib" / "python3.11" / "site-packages" / "harness" / "data" / "embedded"
    images.mkdir(parents=True)
    (images / "ground_truth.png").touch()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "submission").mkdir()
    look = "find / -name ground_truth.png 2>/dev/null; ls -d $0"
    for environment in ("real", "link"):
        command = bwrap_command(
            ["/bin/sh", "-c", look, str(tmp_path / environment / "lib")],
            environment={"PATH": "/usr/bin:/bin"},
            root=tmp_path / "submission",
            inside=Path("/submission"),
            python=tmp_path / environment / "bin" / "python",
            tmp_bytes=1 << 20,
            accelerator=False,
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == f"{tmp_path / environment / 'lib'}\n", done.stderr


def test_places_of_ground_truth_are_compared_after_links_are_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "store" / "lib" / "python3.11" / "site-packages" / "harness"
    (package / "data" / "embedded").mkdir(parents=True)
    (tmp_path / "first").symlink_to("store")
    (tmp_path / "second").symlink_to("first")
    monkeypatch.setattr("harness.isolation.ground_truth.PACKAGE", package)
    inner = Path("lib/python3.11/site-packages/harness/data/embedded")
    binds = {tmp_path / name: tmp_path / name for name in ("store", "first", "second")} | {package: Path("/library")}
    assert visible_images(binds) == sorted(
        [Path("/library/data/embedded"), *(tmp_path / name / inner for name in ("store", "first", "second"))]
    )
    # The system's own Python, whose packages are below /usr.
    assert visible_images({tmp_path / "store": Path("/usr")}) == [Path("/usr") / inner]


@needs_bwrap
def test_the_environment_is_what_was_given_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    names = {line.partition("=")[0] for line in inside("env", tmp_path, GIVEN="yes").splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "GIVEN"}


@needs_bwrap
def test_other_processes_are_out_of_sight_and_privileges_are_gone(tmp_path: Path) -> None:
    pids = [int(entry) for entry in inside("ls /proc", tmp_path).split() if entry.isdigit()]
    assert max(pids) < 20
    status = inside("cat /proc/self/status", tmp_path)
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    if "--disable-userns" in sandbox._bwrap_help():
        assert "failed" in inside("unshare --user true", tmp_path)


@needs_bwrap
def test_a_server_of_the_machine_cannot_be_reached(make_submission: Callable[..., Submission]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5)"
        with open_session(Job(make_submission(code), scale=2, sandbox="bwrap")) as session:
            with pytest.raises(WorkerError, match="ConnectionRefusedError"):
                session.load()
            assert session.isolation == "bubblewrap"


def ask_until_it_ends(session: Session, frame: np.ndarray) -> None:
    """Ask again: the kernel kills a worker a moment after its sandbox, so that it may still answer once."""
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        session.upscale(frame)
        time.sleep(0.05)


@needs_bwrap
def test_a_worker_dies_with_its_sandbox(make_submission: Callable[..., Submission], frame: np.ndarray) -> None:
    with open_session(Job(make_submission(), scale=2, sandbox="bwrap")) as session:
        session.load()
        session.exchange._worker.process.kill()  # type: ignore[attr-defined]
        with pytest.raises(WorkerError) as caught:
            ask_until_it_ends(session, frame)
    assert caught.value.kind == "Crash"


TRUSTED = """
from torch import nn

def srmodel(scale=2):
    return nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), nn.PixelShuffle(2))
"""


def test_pickles_are_trusted_in_a_sandbox_only(make_submission: Callable[..., Submission]) -> None:
    with pytest.raises(UsageError, match="needs a sandbox"):
        open_session(Job(make_submission(), scale=2, sandbox="process", trust_pickle=True))


@needs_bwrap
def test_a_trusted_pickle_runs_inside(make_submission: Callable[..., Submission], tmp_path: Path) -> None:
    import torch
    from torch import nn

    network = nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), nn.PixelShuffle(2))
    submission = make_submission(TRUSTED)
    torch.save({"params": network.state_dict(), "optimiser": nn.Conv2d}, submission.root / "x2.pth")  # asks for a class
    (submission.root / "submission.toml").write_text(
        '[submission]\nname = "small"\nscales = [2]\n[weights]\nx2 = "x2.pth"\n'
    )
    (submission,) = discover([submission.root], entry_points=False)
    with open_session(Job(submission, scale=2, sandbox="bwrap")) as session, pytest.raises(WorkerError) as caught:
        session.load()
    assert "wants to run code" in str(caught.value)
    with open_session(Job(submission, scale=2, sandbox="bwrap", trust_pickle=True)) as session:
        assert session.load().weights


@pytest.mark.parametrize("where", ["process", pytest.param("bwrap", marks=needs_bwrap)])
def test_a_worker_runs_in_the_environment_that_it_is_given(
    make_submission: Callable[..., Submission], tmp_path: Path, where: str
) -> None:
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "rare_package.py").write_text("VALUE = 42\n")
    (site / "harness_packages.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path) + "\n")
    submission = make_submission("import rare_package\nraise RuntimeError(rare_package.VALUE)")
    python = home / "bin" / "python"
    with (
        open_session(Job(submission, scale=2, sandbox=where, python=python)) as session,
        pytest.raises(WorkerError, match="RuntimeError: 42"),
    ):
        session.load()


def test_auto_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "bwrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "is_root", lambda: False)
    choice = choose("auto")
    assert choice.confinement == "process"
    assert choice.describe() == "process with limits (no sandbox: bubblewrap is not installed)"
    with pytest.raises(UsageError, match="bubblewrap is not installed"):
        choose("bwrap")
    assert choose("none").describe() == "process without limits"


def test_root_must_ask_for_weaker_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "bwrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "is_root", lambda: True)
    with pytest.raises(UsageError, match=r"runs as root.*not installed.*--sandbox process"):
        choose("auto")
    assert choose("process").confinement == "process"


def test_a_bubblewrap_that_does_not_work_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)  # where the harness runs as root, another user starts it
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "No permissions" in (bwrap_problem.__wrapped__() or "")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert bwrap_problem.__wrapped__() == "bubblewrap is not installed"


def test_the_doctor_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for problem in ("bubblewrap is not installed", "bubblewrap fails: No permissions"):
        monkeypatch.setattr(doctor, "bwrap_problem", lambda problem=problem: problem)
        diagnostics = doctor.sandbox_diagnostics()
        assert diagnostics[0].name == "bubblewrap sandbox"
        assert diagnostics[0].level == "missing"
        assert all(one.level == "ok" or one.hint for one in diagnostics)
    monkeypatch.setattr(doctor, "bwrap_problem", lambda: None)
    assert doctor.sandbox_diagnostics()[0].level == "ok"


@pytest.mark.parametrize("where", ["process", pytest.param("bwrap", marks=needs_bwrap)])
def test_a_worker_meant_for_a_card_that_it_cannot_see_fails(open_small: Callable[..., Session], where: str) -> None:
    import torch

    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    session = open_small(device="cuda", precision="fp16", sandbox=where, limits=Limits(cap_private_memory=False))
    with pytest.raises(WorkerError, match="no cuda device") as caught:
        session.load()
    assert caught.value.kind == "UnsupportedError"
