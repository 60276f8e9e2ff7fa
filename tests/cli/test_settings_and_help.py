"""Settings in ``harness.toml``, help texts, JSON output and nearest names, as a user meets them."""

import json
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from harness.cli import app
from harness.cli.help_pages import EXAMPLES, OPTION_PANELS, PANELS
from harness.cli.json_forms import FORMS
from harness.results.run_folder import load_run
from harness.run.checking import Check
from harness.run.time_only import SubmissionTime, Times
from harness.statistics.process_spread import ASSUMED_SPREAD
from harness.submissions.finding import Finding

runner = CliRunner()
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_shown(*arguments: str) -> dict[str, tuple[str, str]]:
    """Return value and origin of each setting that `harness config` shows."""
    result = runner.invoke(app, ["config", *arguments])
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in result.stdout.splitlines() if "│" in line]
    return {row[0]: (row[1], row[2]) for row in rows}


def test_what_is_typed_precedes_the_file_and_the_file_the_default(here: Path) -> None:
    (here / "harness.toml").write_text(
        '[run]\nsubmissions = ["a", "b"]\nscale = 3\ntime_budget = 1.5\nbaselines = false\ndataset = "Set5"\n'
    )
    shown = settings_shown("--scale", "4", "--dataset", "Set14")
    assert shown["scale"] == ("4", "typed")
    assert shown["dataset"] == ("Set14", "typed")
    assert shown["submissions"] == ("a, b", "harness.toml")
    assert shown["time-budget"] == ("1.5", "harness.toml")
    assert shown["baselines"] == ("false", "harness.toml")
    assert shown["timeout"] == ("600.0", "default")


def test_without_a_file_all_settings_are_defaults(here: Path) -> None:
    assert {origin for _, origin in settings_shown().values()} == {"default"}


def test_a_file_that_describes_models_is_what_is_run(here: Path) -> None:
    (here / "harness.toml").write_text('[[model]]\nname = "One"\nfactory = "arch:srmodel"\nscales = [2]\n')
    assert settings_shown()["submissions"] == (".", "harness.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nscael = 2", "Did you mean 'scale'"),
        ('[run]\nscale = "two"', "harness.toml: [run]: scale"),
        ("[run]\nscale = [2, 3]", "give one value"),
        ("[run]\nbaselines = 1", "Give true or false"),
        ('[run]\nonly = ["a", true]', "a list of them"),
        ('[run]\nbackend = "eagr"', "Did you mean 'eager'"),
        ("run = 2", "is not a table"),
        ("[run\n", "harness.toml: cannot be read"),
        ("[run]\nscale = " + "1" * 5000, "harness.toml: cannot be read"),
        ("[run]\nscale = 1979-05-27", "give one value"),
        ("[run]\nthreads = 0", "threads"),
    ],
)
def test_a_mistake_in_the_file_is_named(here: Path, text: str, message: str) -> None:
    (here / "harness.toml").write_text(text)
    for command in ("run", "config"):
        result = runner.invoke(app, [command])
        assert result.exit_code == 2
        assert message.lower() in " ".join(result.output.split()).lower()
    assert runner.invoke(app, ["score", "--psnr", "35", "--runtime", "4"]).exit_code == 0  # it has no settings there


def test_the_command_of_a_run_holds_the_settings_of_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "harness.toml").write_text('[run]\nsubmissions = "."\nscale = 3\nbaselines = false\nonly = ["A*", "B*"]\n')
    seen = []
    monkeypatch.setattr("harness.pipeline.run", lambda request, *_: seen.append(request) or sys.exit(0))
    monkeypatch.setattr(sys, "argv", ["harness", "run", "--scale", "2"])
    runner.invoke(app, ["run", "--scale", "2"])
    (request,) = seen
    assert (request.scale, request.with_baselines, request.only) == (2, False, ("A*", "B*"))
    typed = request.command.split()
    assert typed[:4] == ["harness", "run", "--scale", "2"]
    monkeypatch.setattr(sys, "argv", typed)
    (here / "harness.toml").unlink()
    runner.invoke(app, [text.strip("'") for text in typed[1:]])
    assert [(one.submissions, one.scale, one.with_baselines, one.only) for one in seen[1:]] == [
        (request.submissions, 2, False, ("A*", "B*"))
    ]


def test_every_name_in_the_help_exists() -> None:
    assert {name for names in PANELS.values() for name in names} <= set(COMMANDS)
    assert set(EXAMPLES) <= set(COMMANDS)
    assert len({name for names in OPTION_PANELS.values() for name in names}) == sum(map(len, OPTION_PANELS.values()))
    options = {parameter.name for parameter in COMMANDS["run"].params} - {"submissions", "help"}
    assert options <= {name for names in OPTION_PANELS.values() for name in names}


@pytest.mark.parametrize("name", [None, *sorted(COMMANDS)])
def test_help_fits_80_columns(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    result = runner.invoke(app, [*([name] if name else []), "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for example in EXAMPLES.get(name or "", ()):
        assert " ".join(example.split()) in " ".join(result.stdout.split())


def test_commands_are_in_the_order_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = runner.invoke(app, ["--help"]).stdout
    places = [shown.index(f"│ {name} ") for name in ("new", "check", "run", "report", "compare", "score", "doctor")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "Did you mean 'run'"),
        (["run", "submissions", "--track", "ntire23-x22"], "Did you mean 'ntire23-x2'"),
        (["run", "submissions", "--protocol", "robst"], "Did you mean 'robust'"),
        (["run", "submissions", "--dataset", "embeded"], "Did you mean 'embedded'"),
        (["run", "submissions", "--backend", "egaer"], "Did you mean 'eager'"),
        (["run", "submissions", "--convention", "matlb"], "Did you mean 'matlab'"),
        (["run", "submissions", "--engine", "locla"], "Did you mean 'local'"),
        (["time", ".", "--precision", "fp61"], "Did you mean 'fp16'"),
        (["quality", ".", ".", "--convention", "Matlab"], "Did you mean 'matlab'"),
        (["quality", ".", ".", "--metric", "lpip"], "Did you mean 'lpips'"),
        (["tracks", "shw", "x"], "Did you mean 'show'"),
        (["datasets", "fetch", "Set6"], "Did you mean 'Set"),
        (["prepare", ".", "out", "--degradation", "ntire32"], "Did you mean 'ntire23'"),
        (["schema", "scores"], "Did you mean 'score'"),
        (["compare", "reports/sample", "--models", "LRSN", "SESR"], "Did you mean 'LRSRN'"),
        (["history", "LRSN", "--in", "reports"], "Did you mean 'LRSRN'"),
        (["run", "submissions", "--only", "LRSN"], "Did you mean 'LRSRN'"),
        (["export", "reports/sample", "--format", "latx"], "Did you mean 'latex'"),
        (["export", "reports/sample", "--columns", "psnr"], "Did you mean 'psnr_"),
        (["choose", "reports/sample", "--by", "psnry"], "Did you mean 'psnr_y'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(root)
    result = runner.invoke(app, arguments)
    text = " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 2
    assert message in text
    listed = text.rpartition("hoose one of: ")[2].rstrip(".").split(", ") if "hoose one of: " in text else []
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("form", "arguments"),
    [
        ("score", ["score", "--psnr", "35", "--runtime", "4"]),
        ("score", ["score", "--psnr", "30", "--runtime", "4"]),
        ("doctor", ["doctor"]),
        ("compare", ["compare", "reports/sample", "reports/sample"]),
        ("compare-models", ["compare", "reports/sample", "--models", "LRSRN", "SESR"]),
        ("choose", ["choose", "reports/sample", "--fps", "2", "--memory", "400"]),
    ],
)
def test_json_output_keeps_its_schema(
    root: Path, monkeypatch: pytest.MonkeyPatch, form: str, arguments: list[str]
) -> None:
    monkeypatch.chdir(root)
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    FORMS[form].model_validate_json(result.stdout)
    shown = json.loads(runner.invoke(app, ["schema", form]).stdout)
    assert shown == FORMS[form].model_json_schema()
    assert set(json.loads(result.stdout)) == set(shown["properties"])


def test_checking_prints_json(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Check("One", 2, (Finding("ok", "loads"),)), Check("Two", None, (Finding("error", "no", "yes"),), "log")]
    monkeypatch.setattr("harness.run.checking.check_path", lambda *_, on_checked, **__: on_checked(found))
    result = runner.invoke(app, ["check", ".", "--json"])
    assert result.exit_code == 1
    form = FORMS["check"].model_validate_json(result.stdout).model_dump()
    assert not form["passed"]
    assert [(one["name"], one["scale"], one["passed"], one["log"]) for one in form["checks"]] == [
        ("One", 2, True, ""),
        ("Two", None, False, "log"),
    ]
    assert form["checks"][1]["findings"] == [{"level": "error", "what": "no", "hint": "yes"}]


def test_timing_prints_json(here: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_run(root / "reports" / "sample").run
    row = next(entry for entry in run.entries if entry.runtime_ms)
    row_time = SubmissionTime(row.name, row.runtime_ms, None, row.params, row.macs, False, 1, None, row.roofline, None)
    times = Times(run.device, run.protocol, [row_time], ASSUMED_SPREAD)
    monkeypatch.setattr("harness.run.time_only.time_submission", lambda *_: times)
    monkeypatch.setattr("harness.cli.machine.print_timing_warnings", lambda: None)
    result = runner.invoke(app, ["time", ".", "--json"])
    assert result.exit_code == 0, result.output
    (shown,) = FORMS["time"].model_validate_json(result.stdout).model_dump()["rows"]
    assert shown["runtime_ms"] == row.runtime_ms.model_dump()  # type: ignore[union-attr]
    assert shown["macs"] == row.macs


def test_the_best_network_for_limits(root: Path) -> None:
    sample = str(root / "reports" / "sample")
    stored = load_run(root / "reports" / "sample").run
    fitting = {
        entry.name: entry.psnr_y
        for entry in stored.entries
        if entry.kind == "submission" and entry.psnr_y and entry.fps and entry.fps >= 2
        if (entry.peak_memory_bytes or 0) <= 400e6
    }
    result = json.loads(
        runner.invoke(app, ["choose", sample, "--fps", "2", "--memory", "400", "--by", "psnr_y", "--json"]).stdout
    )
    assert {row["name"]: row["value"] for row in result["fitting"]} == fitting
    assert result["fitting"][0]["name"] == max(fitting, key=lambda name: fitting[name])
    front = [row for row in result["fitting"] if row["in_front"]]
    for row in front:
        assert not any(
            other["value"] > row["value"] and other["runtime_ms"] <= row["runtime_ms"] for other in result["fitting"]
        )
    shown = runner.invoke(app, ["choose", sample, "--fps", "2", "--by", "psnr_y"])
    assert "one step faster" in shown.stdout
    nothing = runner.invoke(app, ["choose", sample, "--fps", "1000"])
    assert nothing.exit_code == 1
    assert "no network fits" in nothing.stdout
    assert runner.invoke(app, ["choose", sample, "--by", "rank"]).exit_code == 2


def test_an_example_to_start_from(here: Path, root: Path) -> None:
    assert runner.invoke(app, ["example", "demo"]).exit_code == 0
    written = sorted(path.parent.name for path in (here / "demo" / "submissions").glob("*/submission.toml"))
    assert written == sorted(path.parent.name for path in (root / "submissions").glob("*/submission.toml"))
    assert tomllib.loads((here / "demo" / "harness.toml").read_text())["run"]["scale"] == 2
    assert runner.invoke(app, ["example", "demo"]).exit_code == 2  # never overwritten
