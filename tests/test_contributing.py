"""The three examples of CONTRIBUTING.md work as written: the files are created, installed and tested."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"```(?:toml|python|diff)\n# (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def files(root: Path) -> dict[str, str]:
    """Return the content of each code block that begins with the name of a file."""
    blocks = BLOCK.findall((root / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(blocks) == len(dict(blocks)) == 8
    return dict(blocks)


def test_every_heading_of_an_example_is_covered(root: Path) -> None:
    examples = re.findall(r"^## Example: (.*)$", (root / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert examples == ["add a track", "add a loader", "add a column of the report"]


@pytest.mark.parametrize("package", ["fast_track", "npz_loader"])
def test_a_package_is_installed_and_its_test_passes(
    files: dict[str, str], root: Path, tmp_path: Path, package: str, warning_options: list[str]
) -> None:
    pytest.importorskip("pip", reason="pip, which installs the example, is not installed")
    pytest.importorskip("hatchling", reason="hatchling, which builds the example, is not installed")
    for name, text in files.items():
        if name.startswith(f"{package}/"):
            write(tmp_path / name, text)
    site = tmp_path / "site"
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(tmp_path / package)], check=True)
    test = tmp_path / package / f"test_{package}.py"
    run_test(test, tmp_path, [site, root], warning_options)


def test_a_column_is_added_and_its_test_passes(
    files: dict[str, str], root: Path, tmp_path: Path, warning_options: list[str]
) -> None:
    for folder in ("harness", "reports/sample"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/conftest.py"):
        write(tmp_path / file, (root / file).read_text(encoding="utf-8"))
    patched = tmp_path / "harness" / "results" / "columns.py"
    before = patched.read_text(encoding="utf-8")
    assert '_field("macs_ntire23")' not in before  # else the example would declare a figure a second time
    patched.write_text(apply(files["harness/results/columns.py"], before), encoding="utf-8")
    test = tmp_path / "tests" / "results" / "test_report_macs_column.py"
    write(test, files["tests/results/test_report_macs_column.py"])
    run_test(test, tmp_path, [tmp_path], warning_options)


def apply(diff: str, text: str) -> str:
    """Return `text` with a hunk applied; the lines that the hunk keeps or removes occur once."""
    lines = diff.splitlines()
    old = "\n".join(line[1:] for line in lines if line[0] in " -")
    new = "\n".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1
    return text.replace(old, new)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def warning_options(pytestconfig: pytest.Config) -> list[str]:
    """The options by which these tests treat warnings, for tests that they start."""
    return [f"-W{one}" for one in pytestconfig.getoption("pythonwarnings") or []]


def run_test(test: Path, folder: Path, path: list[Path], options: list[str]) -> None:
    """Run a test file in a process of its own, with packages from `path`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(test)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
