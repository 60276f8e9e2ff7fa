"""The wheel works outside of the checkout: in a fresh environment, from an empty folder."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def harness_command(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command in a fresh environment with the wheel, which shares the dependencies of the tests."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    place = tmp_path_factory.mktemp("wheel")
    build = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(place), str(root)]
    subprocess.run([sys.executable, *build], check=True)
    (wheel,) = place.glob("sr_harness-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True)
    python = place / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = (place / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return place / "venv" / "bin" / "harness"


def call(command: Path, *arguments: str, folder: Path) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CI")}
    done = subprocess.run(
        [str(command), *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_imported_from_the_wheel(harness_command: Path, tmp_path: Path) -> None:
    python = harness_command.with_name("python")
    code = "import harness, sys; print(harness.__file__); print(harness.load_run.__module__)"
    where = call(python, "-c", code, folder=tmp_path).splitlines()[0]
    assert Path(where).is_relative_to(harness_command.parents[1])


def test_the_journey_from_an_empty_folder(harness_command: Path, tmp_path: Path) -> None:
    call(harness_command, "example", "demo", folder=tmp_path)
    demo = tmp_path / "demo"
    assert "passed" not in call(harness_command, "check", "submissions/ALONG", "--scale", "2", folder=demo)
    options = ("--only", "ALONG", "--no-baselines", "--time-budget", "0.5", "--json")
    (entry,) = json.loads(call(harness_command, "run", *options, folder=demo))["entries"]
    assert (entry["name"], entry["status"]) == ("ALONG", "ok")
    assert entry["delta_psnr_bicubic"] > 0
    assert (demo / "report" / "leaderboard.html").is_file()
    assert call(harness_command, "choose", "report", "--fps", "0.01", folder=demo)
