"""Two models of a run against each other, and a stored run by another statistic: from files alone."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness.analysis.compare_models import compare_models
from harness.analysis.compare_runs import compare_runs
from harness.analysis.resummarize import resummarize, write_resummarized
from harness.cli import app
from harness.cli.terminal import leaderboard_table
from harness.engines.inline import InlineEngine
from harness.errors import UsageError
from harness.pipeline import run
from harness.report import load_run
from harness.report.columns import columns_of
from harness.results.samples import read_timing
from harness.run.plan import RunRequest
from harness.tracks import get_track

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]

SHARPENED = """
from torch.nn import functional as F

def sharpened(x):
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return F.interpolate(x + 0.3 * (x - blurred), scale_factor=2, mode="bicubic")
"""
"""About 1 dB better than bicubic interpolation on the images of these tests, so that the rows are ranked."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared") / "run"


@pytest.fixture
def folder(kept: Path, submit: Submit, request_for: Request, tmp_path: Path) -> Path:
    """Return a copy of one run's folder, which is measured once."""
    if not kept.exists():
        submit("one", "return sharpened(x)", before=SHARPENED)
        submit("darker", "return 0.99 * sharpened(x)", before=SHARPENED)
        submit("slow", "sum(range(200_000)); return sharpened(x)", before=SHARPENED)
        run(request_for(out=kept, protocol="robust", time_budget_s=1.5, with_baselines=True), engine=InlineEngine())
    return shutil.copytree(kept, tmp_path / "run")


def rows(folder: Path, first: str, second: str) -> dict:
    found = compare_models(load_run(folder), first, load_run(folder), second)
    return {row.figure: row for row in found.rows}


def test_two_models_of_one_run(folder: Path) -> None:
    found = rows(folder, "one", "darker")
    assert list(found) == ["psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "runtime", "score"]
    images = load_run(folder).per_image
    gains = [images["one"][name]["psnr_rgb"] - images["darker"][name]["psnr_rgb"] for name in images["one"]]
    assert found["psnr_rgb"].difference.value == pytest.approx(np.mean(gains))
    assert found["psnr_rgb"].first - found["psnr_rgb"].second == pytest.approx(np.mean(gains))
    slower = rows(folder, "slow", "one")
    low, high = slower["runtime"].difference.ci
    assert low <= slower["runtime"].difference.value <= high
    assert slower["runtime"].difference.value > 50
    assert "rounds, paired" in slower["runtime"].basis
    for figure in ("psnr_rgb", "ssim_y"):
        assert (slower[figure].difference.value, slower[figure].difference.p_value) == (0.0, 1.0)


def test_data_sets_have_equal_weights_as_in_the_rows(root: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(root / "reports" / "sample", tmp_path / "sample"))
    # The first image is one data set, and the other five are another.
    results = json.loads((folder / "results.json").read_text())
    results["datasets"] = [results["dataset"] | {"label": label, "bicubic_psnr": 30.0} for label in ("a", "b")]
    (folder / "results.json").write_text(json.dumps(results))
    with (folder / "per_image.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    with (folder / "per_image.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            line | {"image": f"{'a' if line['image'] == 'balcony' else 'b'}/{line['image']}"} for line in lines
        )
    found = rows(folder, "RTVSR", "SESR")
    for measure in ("psnr_rgb", "ssim_y"):
        means = []
        for slug in ("RTVSR", "SESR"):
            values = {line["image"]: float(line[measure]) for line in lines if line["slug"] == slug}
            first = values.pop("balcony")
            means.append((first + fmean(values.values())) / 2)
        assert (found[measure].first, found[measure].second) == pytest.approx(tuple(means))
        assert found[measure].difference.value == pytest.approx(means[0] - means[1])


def test_exchanging_the_two_turns_every_sign(folder: Path) -> None:
    there, back = rows(folder, "one", "darker"), rows(folder, "darker", "one")
    for figure in ("psnr_rgb", "ssim_rgb", "score"):
        assert there[figure].difference.value == pytest.approx(-back[figure].difference.value)
        assert there[figure].difference.p_value == pytest.approx(back[figure].difference.p_value, abs=0.02)


def test_models_of_two_runs_are_compared_as_far_as_their_conditions_agree(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    results = json.loads((folder / "results.json").read_text())
    results["device"]["name"] = "another machine"
    (other / "results.json").write_text(json.dumps(results))
    (other / "per_image.csv").write_bytes((folder / "per_image.csv").read_bytes())
    found = compare_models(load_run(folder), "one", load_run(other), "darker")
    assert {row.figure for row in found.rows} == {"psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y"}
    assert any("another machine" in remark for remark in found.remarks)
    with pytest.raises(UsageError, match="no model 'nobody'"):
        compare_models(load_run(folder), "nobody", load_run(folder), "one")


def test_a_stored_run_is_summarised_again_and_stays_as_it_was(folder: Path) -> None:
    before = (folder / "results.json").read_bytes()
    samples = json.loads((folder / "samples" / "one.json").read_text())["samples"]
    times = [ms for _, ms in samples]
    table, target = write_resummarized(folder, "mean")
    assert (folder / "results.json").read_bytes() == before
    one = {entry.slug: entry for entry in table.entries}["one"]
    assert one.runtime_ms.mean == pytest.approx(fmean(times))
    assert one.fps == pytest.approx(1e3 / fmean(times))
    track, reference = get_track("ntire23-x2"), table.track.bicubic_psnr
    assert one.score == pytest.approx(track.score(psnr=one.psnr_rgb, runtime_ms=fmean(times), bicubic=reference))
    (again,) = [entry for entry in resummarize(folder, "median").entries if entry.slug == "one"]
    assert again.runtime_ms.median == pytest.approx(median(times))
    assert load_run(target).run.protocol.statistic == "mean"
    assert any("summarised again" in warning for warning in load_run(target).run.warnings)


def test_a_run_summarised_by_the_mean_compares_its_calls(folder: Path) -> None:
    assert "rounds, paired" in rows(folder, "slow", "one")["runtime"].basis
    _, target = write_resummarized(folder, "mean")
    found = rows(target, "slow", "one")["runtime"]
    assert "calls, not paired, by their medians" in found.basis
    calls = {slug: [ms for _, ms in read_timing(folder, slug).samples] for slug in ("slow", "one")}
    middle = {slug: np.exp(np.median(np.log(ms))) for slug, ms in calls.items()}
    assert found.difference.value == pytest.approx(100 * (middle["slow"] / middle["one"] - 1))
    assert found.first == pytest.approx(fmean(calls["slow"]))


def test_the_terminal_shows_the_scored_time(folder: Path) -> None:
    table, _ = write_resummarized(folder, "mean")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(leaderboard_table(table))
    shown = console.export_text()
    (column,) = [column for column in columns_of(table, "terminal") if column.key == "runtime_ms"]
    for entry in table.entries:
        assert f"{entry.runtime_ms.mean:.{max(1, column.digits)}f}" in shown


def test_summarising_by_its_own_statistic_changes_nothing(folder: Path) -> None:
    stored = load_run(folder).run
    again = resummarize(folder, "robust")
    assert [e.model_dump() for e in again.entries] == [e.model_dump() for e in stored.entries]
    assert again.comparisons == stored.comparisons


def test_two_models_of_one_run_differ_as_the_leaderboard_says(folder: Path) -> None:
    run = load_run(folder).run
    ranked = {entry.slug: entry for entry in run.entries if entry.rank}
    assert len(run.comparisons) == len(ranked) * (len(ranked) - 1) / 2 == 3
    for pair in run.comparisons:
        row = rows(folder, *pair.slugs)["score"]
        assert (row.corrected_p_value, row.difference.p_value) == (pair.corrected_p_value, pair.p_value)
        assert (row.pairs, row.difference.ci) == (3, pair.ci)
        assert "3 pairs" in row.basis
        assert (pair.slugs[1] in ranked[pair.slugs[0]].tied_with) == (row.corrected_p_value >= 0.05)
        assert row.difference.value == pytest.approx(row.first - row.second)
        back = rows(folder, *pair.slugs[::-1])["score"]
        assert (back.corrected_p_value, back.difference.value) == (pair.corrected_p_value, -pair.difference)
    with_baseline = rows(folder, "one", "Lanczos")["score"]
    assert (with_baseline.pairs, with_baseline.corrected_p_value) == (1, with_baseline.difference.p_value)


def test_a_run_without_stored_comparisons_gets_the_same_from_its_samples(folder: Path) -> None:
    stored = load_run(folder).run.comparisons[0]
    results = json.loads((folder / "results.json").read_text())
    results["comparisons"] = []
    (folder / "results.json").write_text(json.dumps(results))
    row = rows(folder, *stored.slugs)["score"]
    assert (row.corrected_p_value, row.pairs) == (pytest.approx(stored.corrected_p_value), 3)


def test_the_roofline_follows_the_time(folder: Path) -> None:
    def with_roofline(run):
        return next(entry for entry in run.entries if entry.slug == "slow")

    stored, again = with_roofline(load_run(folder).run), with_roofline(resummarize(folder, "mean"))
    ratio = again.runtime_ms.mean / stored.runtime_ms.median
    assert again.roofline.macs_per_s == pytest.approx(stored.roofline.macs_per_s / ratio)
    assert again.roofline.memory_fraction == pytest.approx(stored.roofline.memory_fraction / ratio)


def test_the_same_model_of_a_run_and_its_copy_has_not_changed(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    comparison = compare_runs(load_run(folder), load_run(copy))
    shifts = [shift for change in comparison.changes for shift in (change.score, change.psnr, change.runtime)]
    assert [shift.significant for shift in shifts if shift is not None] == [False] * len(shifts)


def test_the_commands_say_it(folder: Path) -> None:
    runner = CliRunner()
    compared = runner.invoke(app, ["compare", str(folder), "--models", "one", "darker"])
    assert compared.exit_code == 0, compared.output
    assert "one minus darker" in compared.output
    assert "psnr_rgb" in compared.output
    again = runner.invoke(app, ["report", str(folder), "--statistic", "mean"])
    assert again.exit_code == 0, again.output
    assert (folder / "resummarized-mean" / "leaderboard.html").exists()
    alone = runner.invoke(app, ["compare", str(folder)])
    assert (alone.exit_code, "--models" in alone.output) == (2, True)


def remarks(first: str, second: str, folder: Path) -> str:
    return "\n".join(compare_models(load_run(folder), first, load_run(folder), second).remarks)


def test_figures_that_are_left_out_are_named(tmp_path: Path) -> None:
    sample = Path(shutil.copytree(Path(__file__).parents[2] / "reports" / "sample", tmp_path / "sample"))
    assert remarks("LRSRN", "SESR", sample) == ""
    unsupported = remarks("LRSRN", "Bicubic++", sample)
    figures = "psnr_rgb, psnr_y, ssim_rgb, ssim_y, runtime, score"
    assert unsupported.startswith(f"left out: {figures}; Bicubic++ is unsupported")
    done = CliRunner().invoke(app, ["compare", str(sample), "--models", "LRSRN", "Bicubic++"])
    assert done.exit_code == 0
    assert "left out" in done.output
    (sample / "per_image.csv").unlink()
    assert "left out: psnr_rgb, psnr_y, ssim_rgb, ssim_y; " in remarks("LRSRN", "SESR", sample)
    assert "per_image.csv" in remarks("LRSRN", "SESR", sample)
