"""The report is a function of the run's files: no track, no package that defines one, is asked."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import ResultsError, UsageError
from harness.report import load_run
from harness.report.bands import bands_of
from harness.report.drawing import render
from harness.report.exports import FORMS, export
from harness.report.figures import psnr_runtime
from harness.report.page import all_figures, build_report
from harness.report.rows import best_places, scored_rows
from harness.report.rules import score_of
from harness.tracks import Expression, catalogue, get_track, track_info

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"


def milliseconds_lost(psnr: float, runtime_ms: float, bicubic: float) -> float:
    """Return a score that only a function can say: lower is better, and nothing below bicubic has one."""
    if psnr <= bicubic - 3:
        raise ValueError("no score this far below bicubic")
    return math.hypot(math.log10(runtime_ms), 40 - psnr)


STRANGE = replace(
    get_track("ntire23-x2"),
    name="strange-x2",
    formula=milliseconds_lost,
    metric="psnr_y",
    higher_is_better=False,
    fps_bands=(10.0, 1000.0),
)
STATED = replace(STRANGE, name="stated-x2", formula=Expression("log10(runtime_ms) + 2 ** (40 - psnr)"))


@pytest.fixture
def installed(monkeypatch):
    """Pretend that a package declares two tracks; return a function that uninstalls it."""
    points = [
        EntryPoint("strange-x2", f"{__name__}:STRANGE", "harness.tracks"),
        EntryPoint("stated-x2", f"{__name__}:STATED", "harness.tracks"),
    ]
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(STRANGE=STRANGE, STATED=STATED))
    monkeypatch.setattr(catalogue, "TRACKS", replace(catalogue.TRACKS, find=lambda _: points))
    return points.clear


def run_by(track, folder):
    """Rewrite a made-up run so that a track has scored it."""
    run = load_run(folder).run
    bicubic = run.track.bicubic_psnr + 2.71
    scores = {
        e.slug: track.score(psnr=getattr(e, track.metric), runtime_ms=e.runtime_ms.mean, bicubic=bicubic)
        for e in run.entries
        if e.status == "ok" and e.slug != "row-16"
    }
    order = sorted(scores, key=scores.get, reverse=track.higher_is_better)
    ranks = [slug for slug in order if run.entries[int(slug[4:])].kind == "submission"]
    entries = [
        e.model_copy(
            update={
                "score": scores.get(e.slug),
                "score_ci": None,
                "tied_with": [],
                "rank": ranks.index(e.slug) + 1 if e.slug in ranks else None,
            }
        )
        for e in run.entries
    ]
    scored = run.model_copy(update={"track": track_info(track, bicubic, "measured", entries), "entries": entries})
    (folder / "results.json").write_text(scored.model_dump_json())
    return folder


def everything(folder):
    """Build every page, figure and export; return all files by name."""
    build_report(folder)
    for drawn in all_figures(load_run(folder), scored_rows(load_run(folder))):
        (folder / f"{drawn.name}.svg").write_bytes(render(drawn.figure, "svg", paper=True))
    for form in FORMS:
        (folder / f"leaderboard.{form}.export").write_text(export(load_run(folder), form))
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["strange-x2", "stated-x2"])
def test_a_run_of_a_plugins_track_is_rebuilt_byte_for_byte_without_the_plugin(installed, make_run, name):
    folder = run_by(get_track(name), make_run())
    before = everything(folder)
    installed()
    with pytest.raises(UsageError):
        get_track(name)
    for file in folder.rglob("*.html"):
        file.unlink()
    assert everything(folder) == before
    page = before[Path("leaderboard.html")].decode()
    assert "PSNR Y against runtime" in page
    assert "10\N{EN DASH}1000 fps" in page


def test_the_report_imports_no_package_that_measures():
    code = "import sys, harness.report; print(*(name for name in sys.modules if name.startswith('harness.')))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    forbidden = {"run", "analysis", "engines", "isolation", "worker", "submissions", "reparam", "timing", "cli"}
    assert not {name.split(".")[1] for name in imported} & forbidden


def test_curves_pass_where_an_arbitrary_function_says(make_run):
    folder = load_run(run_by(STRANGE, make_run()))
    rows, bicubic = scored_rows(folder), folder.run.track.bicubic_psnr
    axes = psnr_runtime(folder.run, rows, score_of(folder.run), "psnr_y").figure.axes[0]
    (contours,) = [item for item in axes.collections if hasattr(item, "allsegs")]
    points = [
        (level, point)
        for level, segments in zip(contours.levels, contours.allsegs, strict=True)
        for segment in segments
        for point in segment
    ]
    assert len(points) > 20
    for level, (time, psnr) in points:
        assert milliseconds_lost(psnr, time, bicubic) == pytest.approx(level, rel=0.005)


def test_a_table_holds_the_scores_of_its_rows_and_nothing_beyond(make_run):
    folder = load_run(run_by(STRANGE, make_run()))
    score = score_of(folder.run)
    for row in scored_rows(folder):
        if row.entry.score is not None and row.entry.psnr_y > folder.run.track.bicubic_psnr - 2:
            found = score(np.array([row.entry.psnr_y]), np.array([row.runtime]))
            assert found == pytest.approx([row.entry.score], rel=0.002)
    assert np.isnan(score(np.array([90.0]), np.array([1.0])))
    assert np.isnan(score(np.array([32.0]), np.array([1e9])))


def test_where_lower_is_better_the_lowest_score_is_best_and_first(make_run):
    folder = load_run(run_by(STRANGE, make_run()))
    rows = [row for row in scored_rows(folder) if row.entry.kind == "submission"]
    scores = [row.entry.score for row in rows]
    assert scores == sorted(scores)
    assert best_places(folder.run)[id(rows[0].entry)]["score"] == "best"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score_expression": "__import__('os')"}, "score expression"),
        ({"fps_bands": [60.0, 30.0]}, "increase"),
        ({"score_table": {"psnr": [1.0, 2.0], "runtime_ms": [1.0, 2.0], "scores": [[1.0], [2.0]]}}, "one score per"),
        ({"score_table": {"psnr": [2.0, 1.0], "runtime_ms": [1.0, 2.0], "scores": [[1.0] * 2] * 2}}, "increases"),
    ],
)
def test_a_damaged_track_is_named(make_run, changes, words):
    folder = make_run()
    results = json.loads((folder / "results.json").read_text())
    results["track"].update(changes)
    (folder / "results.json").write_text(json.dumps(results))
    with pytest.raises(ResultsError, match=words):
        build_report(folder)


def test_a_run_of_version_1_with_an_unknown_track_takes_its_direction_from_the_ranks(make_run):
    folder = make_run()
    results = json.loads((folder / "results.json").read_text())
    results["track"]["name"] = "gone-x2"
    for entry in results["entries"]:
        if entry.get("rank"):
            entry["rank"] = 17 - entry["rank"]
    (folder / "results.json").write_text(json.dumps(results))
    assert load_run(folder).run.track.higher_is_better is False
    assert score_of(load_run(folder).run) is None
    build_report(folder)


@pytest.mark.parametrize(("limits", "colours"), [((24, 30, 60, 120), [0, 1, 2, 3, 4]), ((30,), [0, 4]), ((), [0])])
def test_classes_of_speed_share_the_colours(limits, colours):
    assert [band.index for band in bands_of(limits)] == colours
