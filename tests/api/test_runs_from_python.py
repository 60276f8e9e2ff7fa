"""``harness.run``, ``harness.load_run`` and ``harness.score``: the same run as the command's, as table and figure."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run.conftest import images, request_for, submit, submit_sharp, tiny_track  # noqa: F401
from typer.main import get_command
from typer.testing import CliRunner

import harness
from harness.api.run_function import RunOptions
from harness.cli import app
from harness.errors import ResultsError, UsageError
from harness.pipeline import FinishedRun
from harness.run.options import option_names
from harness.run.plan import RunRequest


@pytest.fixture(scope="module")
def sample(root: Path) -> harness.Run:
    """Return the run that is committed."""
    return harness.load_run(str(root / "reports" / "sample"))


def test_a_stored_run_becomes_a_table(sample: harness.Run) -> None:
    table = sample.to_frame()
    stored = json.loads((sample.path / "results.json").read_text())["entries"]
    assert table["name"].tolist() == [entry["name"] for entry in stored]
    assert [key for key in ("score_ci", "rank_range", "runtime_ms_ci") if key in table] == []
    assert not table.map(lambda value: isinstance(value, tuple)).to_numpy().any()
    for entry, low in zip(stored, table["score_ci_low"], strict=True):
        assert (np.isnan(low) and entry["score_ci"] is None) or low == entry["score_ci"][0]


def test_a_stored_run_becomes_a_figure(sample: harness.Run) -> None:
    figure = sample.plot("runtime_ms", "psnr_y")
    assert figure.axes[0].get_xlabel() == "Runtime, ms"
    marks = [line for line in figure.axes[0].lines if str(line.get_gid()).startswith("mark-")]
    statistic = sample.run.protocol.statistic
    expected = {
        (getattr(entry.runtime_ms, statistic), entry.psnr_y)
        for entry in sample.entries
        if entry.runtime_ms and entry.psnr_y
    }
    assert {(line.get_xdata()[0], line.get_ydata()[0]) for line in marks} == expected
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="no column 'speed'"):
        sample.plot("speed")


def test_a_notebook_shows_the_leaderboard_escaped(sample: harness.Run) -> None:
    hostile = sample.run.model_copy(
        update={"entries": [sample.entries[0].model_copy(update={"name": "<script>alert(1)</script>"})]}
    )
    shown = harness.Run(sample.path, hostile)._repr_html_()
    assert shown.startswith("<table>")
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_a_run_from_python(
    request_for: Callable[..., RunRequest],  # noqa: F811
    submit_sharp: Callable[..., Path],  # noqa: F811
) -> None:
    submit_sharp("One")
    request = request_for()
    run = harness.run(
        str(request.submissions[0]), 2, dataset=request.dataset, out=str(request.out), engine="inline", device="cpu",
        protocol="ntire23-cpu", time_budget=0.05, threads=1, baselines=False, memory_bytes=request.memory_bytes,
    )  # fmt: skip
    assert run.complete
    assert [entry.name for entry in run.entries] == ["One"]
    assert run.report.is_file()
    assert harness.load_run(run.path).run == run.run


def test_python_takes_every_option_of_the_command() -> None:
    command = get_command(app).commands["run"]  # type: ignore[attr-defined]
    typed = {parameter.name for parameter in command.params} - {"help", "strict", "profile", "as_json"}
    known = {*option_names(), "engine", "out_folder", "address"}
    assert typed - known == set()
    assert set(RunOptions.__annotations__) - {"listeners", "engine", "address"} <= set(option_names())


def test_the_command_prints_what_it_stores(sample: harness.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = FinishedRun(sample.run, sample.path, sample.report)
    monkeypatch.setattr("harness.pipeline.run", lambda *_: finished)
    result = CliRunner().invoke(app, ["run", ".", "--json", "--sandbox", "none"])
    assert result.exit_code == 0, result.output
    assert type(sample.run).model_validate_json(result.stdout) == sample.run
    assert str(sample.report) in result.stderr.replace("\n", "")


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no option 'speed'"):
        harness.run(tmp_path, speed=1)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"no option 'submissions'.*first argument"):
        harness.run(tmp_path, submissions=[tmp_path / "other"])  # type: ignore[call-arg]
    with pytest.raises(ResultsError):
        harness.load_run(tmp_path)


def test_the_score_of_the_winner_is_the_published_one() -> None:
    # Bicubic++ of the NTIRE 2023 report: 2^(psnr - bicubic) * 2 / (0.1 * sqrt(ms)).
    assert harness.score(psnr=35.0, runtime_ms=4.0, bicubic=34.0) == pytest.approx(2 * 2 / (0.1 * 2))
    assert harness.score(psnr=33.0, runtime_ms=4.0, bicubic=34.0) == 0
    for figures, message in (
        ({"psnr": 35.0}, "scores runtime_ms too"),
        ({"psnr": 35.0, "runtime_ms": 0.0}, "greater than 0"),
        ({"psnr": 135.0, "runtime_ms": 1.0}, "between 0 and 100"),
        ({"psnr": "35", "runtime_ms": 1.0}, "not a finite number"),
        ({"speed": 1.0}, "is no figure"),
    ):
        with pytest.raises(UsageError, match=message):
            harness.score(**figures)  # type: ignore[arg-type]
