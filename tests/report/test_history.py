import json
import shutil

import pytest
from typer.testing import CliRunner

from harness.analysis.history import history_grid, model_history
from harness.cli import app
from harness.errors import UsageError
from harness.report.history import build_grid, build_history, draw_history, grid_text, history_name, history_text
from harness.report.runs import list_runs


@pytest.fixture
def reports(fake_run, tmp_path):
    """Three runs: the second a little slower, the third on another card."""
    for month, (factor, device) in enumerate([(1.0, None), (1.1, None), (0.5, "NVIDIA H100")], 5):
        folder = tmp_path / f"2026-0{month}"
        folder.mkdir()
        results = json.loads((fake_run / "results.json").read_text())
        results["run"]["created"] = f"2026-0{month}-01T10:00:00+00:00"
        results["device"]["name"] = device or results["device"]["name"]
        time = results["entries"][0]["runtime_ms"]
        time.update(mean=time["mean"] * factor, ci=[value * factor for value in time["ci"]])
        (folder / "results.json").write_text(json.dumps(results))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text("{")
    return tmp_path


def test_moments_are_in_order_of_time_with_the_figures_of_their_run(reports):
    moments = model_history(reports, "LRSRN").points
    assert [moment.run for moment in moments] == ["2026-05", "2026-06", "2026-07"]
    base = 11.19 * 1.008
    assert [moment.runtime for moment in moments] == pytest.approx([base, 1.1 * base, 0.5 * base])
    assert moments == model_history(reports, "row-0").points


def test_only_equal_conditions_are_joined(reports):
    moments = model_history(reports, "LRSRN").points
    axes = draw_history(moments, "LRSRN").figure.axes[2]
    joined = [
        line.get_xdata().tolist()
        for line in axes.lines
        if line.get_linestyle() == "-" and len(set(line.get_xdata())) > 1
    ]
    assert joined == [[0, 1]]


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("track", "score_formula", "1 / runtime_ms", "score formula"),
        ("protocol", "statistic", "median", "statistic: mean -> median"),
        ("protocol", "input_shape", [1, 3, 720, 1280], "input: 1x3x1080x1920 -> 1x3x720x1280"),
    ],
)
def test_what_a_figure_depends_on_is_a_condition(reports, section, key, value, words):
    file = reports / "2026-06" / "results.json"
    results = json.loads(file.read_text())
    assert results[section][key] != value
    results[section][key] = value
    file.write_text(json.dumps(results))
    moments = model_history(reports, "LRSRN").points
    assert moments[0].conditions != moments[1].conditions
    assert words in history_text(moments)


def test_the_terminal_shows_where_conditions_changed(reports):
    text = history_text(model_history(reports, "LRSRN").points)
    assert text.count("\n") == 5
    assert "-- device: NVIDIA GeForce RTX 3090 -> NVIDIA H100" in text


def test_the_page_is_repeatable(reports):
    points = model_history(reports, "<script>window.pwned = 1</script>")
    page = build_history(points, reports / "history.html")
    first = page.read_bytes()
    assert build_history(points, reports / "history.html").read_bytes() == first
    assert b"<script>window.pwned" not in first


def test_pages_of_two_models_have_names_of_their_own(reports):
    names = [history_name(model_history(reports, model).points) for model in ("LRSRN", "RT4KSR")]
    assert names == ["history-row-0.html", "history-row-1.html"]


def test_the_grid_marks_what_became_worse_where_conditions_are_the_same(reports, fake_run):
    for run, factor in (("2026-05", 1.0), ("2026-06", 1.1), ("2026-07", 1.0)):  # the calls behind the times
        shutil.copytree(fake_run / "samples", reports / run / "samples")
        file = reports / run / "samples" / "row-0.json"
        samples = json.loads(file.read_text())
        samples["samples"] = [[at, ms * factor] for at, ms in samples["samples"]]
        file.write_text(json.dumps(samples))
    grid = history_grid(reports)
    assert [run for run, _ in grid.runs] == ["2026-05", "2026-06", "2026-07"]
    marks = {name: [cell.mark for cell in cells] for name, cells in grid.rows}
    assert marks["LRSRN"] == ["", "worse", "elsewhere"]
    assert marks["RT4KSR"] == ["", "", "elsewhere"]
    assert grid.regressions == 1
    line = next(line for line in grid_text(grid).splitlines() if line.startswith("LRSRN"))
    assert [word for word in line.split() if word in {"-", "+", "|"}] == ["-", "|"]
    source = build_grid(grid, reports / "history.html").read_text()
    assert source.count('class="worse"') == 1
    assert "<script>window.pwned" not in source


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(UsageError, match="no run"):
        history_grid(tmp_path)


def test_an_unknown_model_is_named(reports):
    with pytest.raises(UsageError, match="Nobody"):
        model_history(reports, "Nobody")
    shutil.rmtree(reports / "broken")


def test_runs_that_cannot_be_read_are_named_with_the_reason(reports, fake_run):
    (reports / "empty").mkdir()
    (reports / "other").mkdir()
    (reports / "other" / "notes.txt").touch()
    (reports / "later").mkdir()
    (reports / "later" / "results.json").write_text('{"schema_version": 99}')
    for run in ("2026-05", "2026-06", "2026-07"):
        shutil.copytree(fake_run / "samples", reports / run / "samples")
    for skipped in (model_history(reports, "LRSRN").skipped, history_grid(reports).skipped):
        reasons = dict(one.split(": ", 1) for one in skipped)
        assert list(reasons) == ["broken", "empty", "later"]
        assert "not JSON" in reasons["broken"]
        assert "results.json" in reasons["empty"]
        assert "99" in reasons["later"]


@pytest.mark.parametrize("damaged", ["2026-05", "2026-06"])
def test_a_damaged_side_file_leaves_out_that_run_only(reports, fake_run, damaged):
    for run in ("2026-05", "2026-06", "2026-07"):
        shutil.copytree(fake_run / "samples", reports / run / "samples")
    (reports / damaged / "samples" / "row-0.json").write_text("{")
    grid = history_grid(reports)
    assert [run for run, _ in grid.runs] == [run for run in ("2026-05", "2026-06", "2026-07") if run != damaged]
    (reason,) = [one for one in grid.skipped if one.startswith(damaged)]
    assert "samples/row-0.json" in reason
    assert "samples/row-0.json" in build_grid(grid, reports / "history.html").read_text()
    done = CliRunner().invoke(app, ["history", "--in", str(reports)])
    assert done.exit_code == 0
    assert f"not read: {damaged}: samples/row-0.json" in done.output


def test_runs_of_other_time_zones_are_in_order_of_time(reports):
    """The night in which summer time ends has an hour twice, and a machine abroad has another clock."""
    dates = {"2026-05": "2026-10-25T02:50:00+02:00", "2026-06": "2026-10-25T02:10:00+01:00"}
    dates["2026-07"] = "2026-10-25T00:59:00+00:00"
    for name, date in dates.items():
        file = reports / name / "results.json"
        results = json.loads(file.read_text())
        results["run"]["created"] = date
        file.write_text(json.dumps(results))
    expected = ["2026-05", "2026-07", "2026-06"]  # 00:50, 00:59 and 01:10 of UTC
    assert [moment.run for moment in model_history(reports, "LRSRN").points] == expected
    assert [name for name, _ in history_grid(reports).runs] == expected
    assert [run.folder for run in list_runs(reports) if run.created] == expected[::-1]


@pytest.mark.parametrize("date", ["", "yesterday", "2026-13-01T00:00:00+00:00", "2026-04-01T10:00:00"])
def test_a_date_that_is_none_or_has_no_zone_ends_no_list(reports, date):
    file = reports / "2026-07" / "results.json"
    results = json.loads(file.read_text())
    results["run"]["created"] = date
    file.write_text(json.dumps(results))
    assert [moment.run for moment in model_history(reports, "LRSRN").points] == ["2026-07", "2026-05", "2026-06"]
