import json
import re

import numpy as np
import pytest

from harness.report import load_run
from harness.report.drawing import render
from harness.report.figures import psnr_runtime
from harness.report.page import all_figures, build_figures
from harness.report.rank_spread import _ranks, rank_spread, relative_noise
from harness.report.rows import pareto_front, scored_rows
from harness.report.rules import score_of
from harness.tracks import rank


@pytest.fixture(scope="module")
def folder(fake_run):
    return load_run(fake_run)


@pytest.fixture(scope="module")
def figures(folder):
    return {drawn.name: drawn for drawn in all_figures(folder, scored_rows(folder))}


def test_every_figure_of_a_full_run_is_drawn(figures):
    assert set(figures) == {
        "psnr-runtime",
        "score-runtime",
        "psnr-macs",
        "image-spread",
        "rank-spread",
        "reparameterized",
    }


def test_marks_stand_where_the_figures_are(folder, figures):
    axes = figures["psnr-runtime"].figure.axes[0]
    marks = {line.get_gid(): line.get_xydata()[0] for line in axes.lines if line.get_gid()}
    for row in scored_rows(folder):
        assert marks[f"mark-{row.anchor}"] == pytest.approx([row.runtime, row.entry.psnr_rgb])


def test_curves_of_equal_score_pass_where_the_formula_says(folder):
    rows = scored_rows(folder)
    axes = psnr_runtime(folder.run, rows, score_of(folder.run), "psnr_rgb").figure.axes[0]
    (contours,) = [item for item in axes.collections if hasattr(item, "allsegs")]
    for level, segments in zip(contours.levels, contours.allsegs, strict=True):
        for time, psnr in np.concatenate(segments):
            assert 2 ** (psnr - 29.412) * 2 / (0.1 * time**0.5) == pytest.approx(level, rel=0.02)


def test_an_absurd_quality_does_not_flatten_the_figure(make_run):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    results["entries"][5].update(psnr_rgb=6.1, score=0.0, score_ci=[0.0, 0.0])
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    axes = psnr_runtime(folder.run, scored_rows(folder), score_of(folder.run), "psnr_rgb").figure.axes[0]
    assert axes.get_ylim()[0] > 25
    assert [line for line in axes.lines if line.get_marker() == "v"]


def test_no_front_member_is_beaten(folder):
    front = pareto_front(folder.run)
    submissions = [entry for entry in folder.run.entries if entry.status == "ok" and entry.kind == "submission"]
    for entry in submissions:
        beaten = any(
            (other.psnr_rgb >= entry.psnr_rgb and other.runtime_ms.mean < entry.runtime_ms.mean)
            or (other.psnr_rgb > entry.psnr_rgb and other.runtime_ms.mean <= entry.runtime_ms.mean)
            for other in submissions
        )  # fmt: skip
        assert beaten == (id(entry) not in front)


@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_figures_for_print_are_repeatable(folder, figures, kind):
    again = {drawn.name: drawn for drawn in all_figures(folder, scored_rows(folder))}
    first = render(figures["reparameterized"].figure, kind, paper=True)
    assert render(again["reparameterized"].figure, kind, paper=True) == first
    assert not re.search(rb"20[0-9]{2}-[01][0-9]-[0-3][0-9]T", first)


def test_figures_for_print_are_files(make_run, monkeypatch):
    monkeypatch.setattr("harness.report.page.all_figures", lambda folder, rows: all_figures(folder, rows)[-1:])
    written = build_figures(make_run())
    assert [path.name for path in written] == [f"reparameterized.{kind}" for kind in ("svg", "pdf", "png")]
    assert [path.read_bytes()[:4] for path in written] == [b"<?xm", b"%PDF", b"\x89PNG"]


def test_ranks_agree_with_the_tracks_ranking():
    scores = np.array([[3.0, 1.0], [2.0, 1.0], [5.0, 0.5]])
    for turn in range(2):
        expected = rank({str(at): float(scores[at, turn]) for at in range(3)}, higher_is_better=True)
        assert _ranks(scores)[:, turn].tolist() == [expected[str(at)] for at in range(3)]


def test_a_clear_winner_keeps_its_rank_and_twins_share_theirs(make_run):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    best = results["entries"][10]
    best["runtime_ms"].update(mean=0.5, median=0.5, ci=[0.499, 0.501])
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    spread = {one.row.entry.name: one for one in rank_spread(folder, scored_rows(folder))}
    assert (spread["ALONG"].low, spread["ALONG"].high) == (1.0, 1.0)
    assert all(one.low <= one.middle <= one.high for one in spread.values())
    assert rank_spread(folder, scored_rows(folder)) == list(spread.values())


def with_calls(run, calls):
    """Rewrite a run so that its first row has few calls and an interval of no width."""
    results = json.loads((run / "results.json").read_text())
    for row, count in zip(results["entries"], calls, strict=False):
        if row.get("runtime_ms"):
            ms = row["runtime_ms"]["median"]
            row["runtime_ms"].update(samples=count, ci=[ms, ms] if count == 1 else row["runtime_ms"]["ci"])
    (run / "results.json").write_text(json.dumps(results))
    return load_run(run)


def test_one_call_is_not_taken_for_an_exact_time(make_run):
    folder = with_calls(make_run(), [1])
    (one,) = [one for one in rank_spread(folder, scored_rows(folder)) if one.borrowed]
    assert one.row.entry.slug == "row-0"
    # 244 calls with an interval from -1.5 % to +1.7 %: one call alone scatters by 0.032 / (2 * 1.96) * sqrt(244)
    assert relative_noise(folder.run.entries) == pytest.approx(0.1275, abs=1e-3)
    assert one.high - one.low >= 2
    caption = {drawn.name: drawn.caption for drawn in all_figures(folder, scored_rows(folder))}["rank-spread"]
    assert "1 row has too few calls" in caption


def test_where_every_time_is_one_call_ranks_have_no_spread(make_run):
    folder = with_calls(make_run(), [1] * 40)
    assert rank_spread(folder, scored_rows(folder)) == []


def test_without_images_ranks_have_no_spread(make_run):
    run = make_run()
    (run / "per_image.csv").unlink()
    folder = load_run(run)
    assert rank_spread(folder, scored_rows(folder)) == []


def test_loss_of_precision_is_drawn_where_there_is_one(make_run):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    results["entries"][0]["precision_drop_db"] = 4.3
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    assert "precision-drop" in {drawn.name for drawn in all_figures(folder, scored_rows(folder))}
