"""Private folders of workers end with their controller, whatever ends it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.isolation import private_folders
from harness.isolation.private_folders import PREFIX, make_private_folder, remove_private_folder, sweep

MAKE = """
import sys, tempfile, time
from harness.isolation.private_folders import make_private_folder
tempfile.tempdir = sys.argv[1]
for _ in range(2):
    folder = make_private_folder()
    (folder / "file").write_text("x")
print(folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other(parent: Path) -> Iterator[subprocess.Popen[str]]:
    """Return another controller, which has made two folders."""
    with subprocess.Popen([sys.executable, "-c", MAKE, str(parent)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith(str(parent))
        yield process
        process.kill()


def test_a_folder_is_private_and_removed_with_its_content() -> None:
    folder = make_private_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "inside").mkdir()
    remove_private_folder(folder)
    assert not folder.exists()
    remove_private_folder(folder)


def test_folders_of_killed_controllers_are_swept_and_those_of_running_ones_are_not(
    parent: Path, other: subprocess.Popen[str]
) -> None:
    own = make_private_folder()
    assert sweep(parent, young_s=0) == 0
    assert len(list(parent.iterdir())) == 3
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert sweep(parent) == 0  # a minute must pass
    assert sweep(parent, young_s=0) == 2
    assert list(parent.iterdir()) == [own]
    remove_private_folder(own)


def test_the_first_folder_of_a_process_sweeps(
    parent: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "__defaults__", (0.0,))
    private_folders._sweep_once.cache_clear()
    other.kill()
    other.wait()
    own = make_private_folder()
    assert list(parent.iterdir()) == [own]
    remove_private_folder(own)


def test_only_folders_of_that_kind_are_swept(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious").write_text("x")
    (parent / f"{PREFIX}link").symlink_to(elsewhere)
    (parent / f"{PREFIX}file").write_text("x")
    (parent / "sr-harness-older").mkdir()
    os.mkfifo(parent / f"{PREFIX}pipe")
    assert sweep(parent, young_s=0) == 0
    assert (elsewhere / "precious").exists()
    assert len(list(parent.iterdir())) == 4
    assert sweep(parent / "missing", young_s=0) == 0
