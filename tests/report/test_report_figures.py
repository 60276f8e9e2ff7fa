import json
import re

import numpy as np
import pytest

from harness.report import load_run
from harness.report.drawing import render
from harness.report.figures import psnr_runtime, score_runtime
from harness.report.page import all_figures, build_figures, build_report
from harness.report.rows import pareto_front, scored_rows
from harness.report.rules import score_of


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
        "rank-ranges",
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


@pytest.mark.parametrize("at", [-320.0, 310.0])
def test_intervals_of_scores_beyond_floating_point_stand_at_their_marks(make_run, at):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    for entry in results["entries"]:
        if entry["status"] == "ok" and entry["kind"] == "submission":
            entry.update(score=min(1e300, 10 ** min(at, 300)), score_log10=at, score_log10_ci=[at - 5, at + 5])
            # As float64 holds them.
            entry["score_ci"] = [min(1e300, 10 ** min(end, 300)) for end in (at - 5, at + 5)]
    results["entries"][0]["score_log10_ci"] = None  # of an earlier release, which stored the scores alone
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    axes = score_runtime(folder.run, scored_rows(folder)).figure.axes[0]
    upright = [one for one in axes.lines if len(one.get_ydata()) == 2 and one.get_xdata()[0] == one.get_xdata()[1]]
    lines = [line for line in upright if abs(line.get_ydata()[0]) > 1]  # others lead to labels
    assert {tuple(line.get_ydata()) for line in lines} == {(at - 5, at + 5)}
    assert len(lines) == 15
    low, high = axes.get_ylim()
    assert low < at - 5 < at + 5 < high


@pytest.mark.parametrize("name", ["psnr-runtime", "psnr-macs"])
def test_models_that_are_all_far_below_bicubic_stand_where_their_quality_is(make_run, name):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    results["entries"] = [entry for entry in results["entries"] if entry["kind"] != "baseline"]
    for number, entry in enumerate(results["entries"]):
        entry.update(psnr_rgb=20.0 + 0.1 * number)
    results["entries"][0].update(psnr_rgb=9.0)
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    rows = scored_rows(folder)
    (drawn,) = [drawn for drawn in all_figures(folder, rows) if drawn.name == name]
    marks = {line.get_gid(): line for line in drawn.figure.axes[0].lines if line.get_gid()}
    found = [(row, marks[f"mark-{row.anchor}"]) for row in rows if f"mark-{row.anchor}" in marks]
    shown = [(row, mark) for row, mark in found if row.entry.psnr_rgb > 10]
    assert len(found) > len(shown) > 3
    for row, mark in shown:
        assert mark.get_ydata()[0] == pytest.approx(row.entry.psnr_rgb)
        assert mark.get_marker() != "v"
    assert "Triangles that point down" in drawn.caption


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


def test_the_ranges_of_ranks_are_those_of_the_results(make_run):
    folder = load_run(make_run())
    figure = {drawn.name: drawn for drawn in all_figures(folder, scored_rows(folder))}["rank-ranges"].figure
    bars = [tuple(line.get_xdata()) for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert bars == [entry.rank_range for entry in sorted(folder.run.entries, key=lambda e: e.rank or 99) if entry.rank]


@pytest.mark.parametrize("middle", ["with a rather long part", "OF A UNIVERSITY", "長い名前の超解像モデルの提出"])
def test_names_of_a_series_are_told_apart_and_fit(make_run, middle):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    for number, row in enumerate(results["entries"]):
        row["name"] = f"A submission {middle} v{number}"
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    figure = {drawn.name: drawn for drawn in all_figures(folder, scored_rows(folder))}["rank-ranges"].figure
    labels = figure.axes[0].get_yticklabels()
    assert len({label.get_text() for label in labels}) == len(labels) > 10
    if middle.isascii():  # others need a font that the machine may not have
        assert min(label.get_window_extent().x0 for label in labels) >= 0
    assert figure.axes[0].get_position().width > 0.4
    # In the first sentence of the page.
    assert re.search(r"v\d+\u2069 (leads|is level)", build_report(run).read_text(encoding="utf-8"))


def test_a_run_without_ranges_has_no_figure_of_them(make_run):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    for row in results["entries"]:
        row.pop("rank_range", None)
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    assert "rank-ranges" not in {drawn.name for drawn in all_figures(folder, scored_rows(folder))}


def test_loss_of_precision_is_drawn_where_there_is_one(make_run):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    results["entries"][0]["precision_drop_db"] = 4.3
    (run / "results.json").write_text(json.dumps(results))
    folder = load_run(run)
    assert "precision-drop" in {drawn.name for drawn in all_figures(folder, scored_rows(folder))}
