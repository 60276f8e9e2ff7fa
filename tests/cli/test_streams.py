"""Standard output that lacks characters, is closed or is full; figures that are no measurements."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from harness.cli import app
from harness.tracks import get_track

NAME = "Сеть ≥ 超解像"


def harness(*arguments: str, shell: str = "", encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    command = f'"{sys.executable}" -m harness {" ".join(arguments)} {shell}'
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, env=environment, check=False)


@pytest.fixture(scope="module")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run and with images, all of whose names no encoding of the tests has whole."""
    folder = tmp_path_factory.mktemp("names")
    shutil.copytree(root / "tests" / "fixtures" / "run_of_version_1", folder / "run")
    results = folder / "run" / "results.json"
    stored = json.loads(results.read_text())
    for entry in stored["entries"]:
        entry["name"] = f"{NAME} {entry['name']}"
    results.write_text(json.dumps(stored))
    for name, level in (("sr", 100), ("hr", 120)):
        (folder / name).mkdir()
        Image.new("RGB", (32, 32), (level, level, level)).save(folder / name / f"{NAME}.png")
    return folder


@pytest.mark.parametrize("encoding", ["latin-1", "iso8859-5", "cp437", "koi8-r"])
def test_what_an_encoding_lacks_is_replaced(folder: Path, encoding: str) -> None:
    done = harness("export", str(folder / "run"), "--format", "markdown", encoding=encoding)
    assert done.returncode == 0
    assert done.stderr == b""
    text = done.stdout.decode(encoding)
    assert ">= 1.7" in text or "\N{GREATER-THAN OR EQUAL TO} 1.7" in text  # CRC


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("choose {folder}/run --fps 0.5", "SESR"),
        ("compare {folder}/run {folder}/run", "SESR"),
        ("history --in {folder}", "SESR"),
        ("report {folder}/run --statistic mean", "leaderboard"),
        ("quality {folder}/sr {folder}/hr", "22.1"),
    ],
)
def test_no_command_fails_on_an_output_without_the_characters(folder: Path, command: str, shown: str) -> None:
    done = harness(command.format(folder=folder), encoding="latin-1")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert shown in done.stdout.decode("latin-1")


@pytest.mark.parametrize("arguments", [("score", "--runtime", "10", "--psnr", "34"), ("--version",)])
def test_full_output_is_a_message(arguments: tuple[str, ...]) -> None:
    done = harness(*arguments, shell=">/dev/full")
    assert done.returncode == 3
    assert done.stderr.endswith(b"error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_do_not_end_a_command(shell: str) -> None:
    done = harness("score", "--runtime", "10", "--psnr", "34", shell=shell)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_score_beyond_floating_point_is_a_power_of_ten() -> None:
    arguments = "--track ntire-esr-2025 --runtime 16.69 --flops 16.7 --params 276"
    done = CliRunner().invoke(app, ["score", *arguments.split()])
    assert done.exit_code == 0
    assert done.stdout.startswith("10^867.765\n")  # log10(0.15) + 2000 log10(e)
    assert "--params 276 is 1000 times the baseline's 0.276: is it in thousands" in " ".join(done.stderr.split())


def test_a_score_beyond_floating_point_is_json_too() -> None:
    arguments = "--track ntire-esr-2025 --runtime 16.69 --flops 16.7 --params 276 --json"
    done = CliRunner().invoke(app, ["score", *arguments.split()])
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    assert printed["score_log10"] == pytest.approx(math.log10(0.15) + 2000 * math.log10(math.e))
    assert printed["parts"] == {"runtime": pytest.approx(math.e**2), "macs": pytest.approx(math.e**2), "params": None}


@pytest.mark.parametrize(
    ("figures", "question"),
    [
        (
            "--runtime 0.01669 --flops 16.7 --params 0.276",
            "--runtime 0.01669 is 0.001 times the baseline's 16.69: is it in s",
        ),
        (
            "--runtime 16.69 --flops 0.0167 --params 0.276",
            "--flops 0.0167 is 0.001 times the baseline's 16.7: is it in T",
        ),
        (
            "--runtime 16690 --flops 16.7 --params 0.276",
            "--runtime 16690 is 1000 times the baseline's 16.69: is it in m",
        ),
        ("--runtime 1669.1 --flops 16.7 --params 0.0028", "--runtime 1669.1 is 100 times"),
        ("--runtime 166 --flops 160 --params 0.0028", None),
    ],
)
def test_an_unlikely_unit_is_questioned(figures: str, question: str | None) -> None:
    done = CliRunner().invoke(app, ["score", "--track", "ntire-esr-2025", *figures.split()])
    said = " ".join(done.stderr.split())
    assert (question in said) if question else ("warning" not in said)


def test_logarithms_agree_with_the_sum_where_it_is_finite() -> None:
    track = get_track("ntire-esr-2024")
    figures = {"runtime_ms": 13.54, "macs": 19.67e9, "params": 0.317e6}
    assert track.score(**figures) == pytest.approx(7.38905609893065)
    assert track.log_scores(figures) / math.log(10) == pytest.approx(0.8685889638)
    # 0.7 exp(2000): log10(0.7) + 2000 log10(e)
    assert track.log_scores({**figures, "runtime_ms": 13540.0}) / math.log(10) == pytest.approx(868.434061)


@pytest.mark.parametrize(
    "arguments",
    [
        "--runtime nan --psnr 34",
        "--runtime inf --psnr 34",
        "--runtime 10 --psnr nan",
        "--runtime 10 --psnr inf",
        "--runtime 10 --psnr=-inf",
        "--runtime 10 --psnr 3400",
        "--runtime 10 --psnr=-5",
        "--runtime 10 --psnr 34 --bicubic nan",
        "--runtime 10 --track ntire-esr-2025 --flops nan --params 0.2",
        "--runtime 10 --track ntire-esr-2025 --flops 16 --params inf",
        "--runtime 10 --track ntire-esr-2025 --flops 16 --params 0.2 --psnr 26.9 --psnr-test nan",
    ],
)
def test_what_is_no_measurement_is_a_usage_error(arguments: str) -> None:
    done = CliRunner().invoke(app, ["score", *arguments.split()])
    assert done.exit_code == 2
    assert done.stdout == ""
