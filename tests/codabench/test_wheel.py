"""The wheel in a bundle is this package, installable without an index; its requirements are pinned."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import harness
from harness.codabench.wheel import package_wheel, pinned_requirements, wheel_name


def test_the_wheel_installs_and_is_complete(tmp_path: Path) -> None:
    wheel = tmp_path / wheel_name()
    wheel.write_bytes(package_wheel())
    target = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        "import harness, json; from harness.plugins import installed;"
        "print(json.dumps([harness.__version__, harness.__file__, len(installed('harness.tracks'))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    found, place, tracks = json.loads(done.stdout)
    assert found == harness.__version__
    assert Path(place).is_relative_to(target)
    assert tracks >= 11
    assert (target / "harness" / "_baselines" / "Bicubic" / "submission.toml").is_file()


def test_equal_code_gives_equal_bytes() -> None:
    assert package_wheel() == package_wheel()


def test_requirements_are_pinned() -> None:
    pins = dict(line.split("==") for line in pinned_requirements())
    assert pins["numpy"] == version("numpy")
    assert pins["torch"] == version("torch").partition("+")[0]
    assert "sr-harness" not in pins
