"""The command line as a user meets it: exit status, messages, output."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import __version__
from harness.cli import app

runner = CliRunner()


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).output.strip() == f"harness {__version__}"


def test_one_score_of_the_published_table() -> None:
    result = runner.invoke(app, ["score", "--psnr", "35.02", "--runtime", "3.19", "--track", "ntire23-x2"])
    assert result.exit_code == 0
    assert float(result.stdout) == pytest.approx(24.13, rel=0.0035)  # PSNR is printed to 0.005 dB


def test_a_score_below_bicubic_is_zero() -> None:
    assert runner.invoke(app, ["score", "--psnr", "33.9", "--runtime", "1"]).stdout.strip() == "0.00"


def test_efficiency_scores_of_the_published_table(shared: Path) -> None:
    with (shared / "published" / "ntire2026_esr_results_txt.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    for row in rows:
        figures = ["--runtime", row["ave_time_ms"], "--flops", row["flops_G_fvcore_256"], "--params", row["params_M"]]
        psnrs = ["--psnr", row["val_psnr_dB"], "--psnr-test", row["test_psnr_dB"]]
        result = runner.invoke(app, ["score", "--track", "ntire-esr-2026", *figures, *psnrs])
        assert result.exit_code == 0, result.output
        assert float(result.stdout) == pytest.approx(float(row["score_final_calc"]), rel=1e-6, abs=1e-4)
        assert ("not ranked" in result.stderr) == (row["psnr_gate_ok"] != "1"), row["model"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["score", "--track", "ntire-esr-2025", "--runtime", "9"], 2, "--flops"),
        (["score", "--runtime", "9"], 2, "--psnr"),
        (["score", "--psnr", "nan", "--runtime", "9"], 2, "finite"),
        (["score", "--psnr", "inf", "--runtime", "9"], 2, "finite"),
        (["score", "--psnr", "340", "--runtime", "9"], 2, "between 0 and 100"),
        (["score", "--psnr", "34", "--runtime", "nan"], 2, "finite"),
        (["score", "--psnr", "34", "--runtime", "0"], 2, "greater than 0"),
        (["score", "--psnr", "34", "--runtime", "9", "--bicubic", "nan"], 2, "finite"),
        (["score", "--psnr", "34", "--runtime", "9", "--figure", "lpip=1"], 2, "Did you mean 'lpips'"),
        (["score", "--psnr", "34", "--runtime", "9", "--figure", "lpips"], 2, "NAME=VALUE"),
        (["tracks", "show"], 2, "needs a name"),
        (["tracks", "check", "nowhere.toml"], 2, "does not exist"),
        (["tracks", "explain", "x"], 2, "list, show, check"),
        (["rescore", "nowhere", "--track", "ntire23-x2"], 2, "no results"),
        (["run", "nowhere"], 2, "does not exist"),
        (["run"], 2, "Missing argument"),
        (["run", ".", "--track", "ntire99"], 2, "ntire23-x2"),
        (["run", ".", "--scale", "7"], 2, "7"),
        (["score", "--psnr", "30", "--runtime", "1", "--track", "ntire23-x4"], 2, "--bicubic"),
        (["check", "nowhere"], 2, "does not exist"),
        # One rule for all commands: what is named and is not there is bad usage, not a breakdown.
        (["report", "nowhere"], 2, "no results"),
        (["report", "."], 2, "no results"),
        (["export", "nowhere"], 2, "no results"),
        (["compare", "nowhere", "nowhere"], 2, "no results"),
        (["history", "x", "--in", "nowhere"], 2, "no run"),
        (["serve", "nowhere"], 2, "no such folder"),
        (["time", "nowhere"], 2, "does not exist"),
        (["reparam", "nowhere"], 2, "does not exist"),
        (["convert", "nowhere.pth"], 2, "does not exist"),
        (["quality", "nowhere", "."], 2, "does not exist"),
        (["quality", ".", "nowhere"], 2, "does not exist"),
        (["prepare", "nowhere", "out"], 2, "does not exist"),
        (["datasets", "verify", "nowhere"], 2, "does not exist"),
        (["datasets", "verify", ""], 2, "name of a data set is empty"),
        (["datasets", "add", "mine", "nowhere"], 2, "does not exist"),
        (["run", ".", "--dataset", "/nowhere"], 2, "embedded"),
    ],
)
def test_a_mistake_ends_with_its_status_and_one_message(arguments: list[str], status: int, message: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == status
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_new_submission_passes_the_check(tmp_path: Path) -> None:
    assert runner.invoke(app, ["new", "MyNet", "--in", str(tmp_path)]).exit_code == 0
    assert runner.invoke(app, ["new", "MyNet", "--in", str(tmp_path)]).exit_code == 2  # never overwritten
    command = [sys.executable, "-m", "harness", "check", str(tmp_path / "MyNet"), "--scale", "2"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert "1 of 1 passed" in checked.stderr


def test_the_schema_is_valid_json() -> None:
    schema = json.loads(runner.invoke(app, ["schema"]).stdout)
    assert set(schema["required"]) == {"run", "track", "dataset", "device", "protocol", "entries"}
    assert schema["$defs"]["Entry"]["properties"]["macs"]["description"]


def test_help_is_quick_and_imports_no_torch() -> None:
    # pydantic builds the models of stored results, which takes most of the time
    code = "import sys, harness.cli; sys.exit(bool({'torch', 'numpy', 'pydantic'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
