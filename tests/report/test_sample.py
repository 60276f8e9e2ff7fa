"""The committed sample, and a stored run of schema version 1, are read and reported in every form."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.report import load_run
from harness.report.exports import FORMS, export
from harness.report.page import all_figures
from harness.report.rows import scored_rows

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "reports" / "sample"
VERSION_1 = ROOT / "tests" / "fixtures" / "run_of_version_1"


@pytest.mark.parametrize(("stored", "version"), [(SAMPLE, 2), (VERSION_1, 1)])
def test_a_stored_run_is_rendered_from_its_files(stored, version, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(stored, run)
    for page in run.rglob("*.html"):
        page.unlink()
    results = json.loads((run / "results.json").read_text())
    assert results["schema_version"] == version
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, ["report", str(run)])
    assert done.exit_code == 0, done.output
    written = {path for path in run.rglob("*") if path.is_file()} - set(before)
    pages = {str(path.relative_to(run)) for path in written if path.suffix == ".html"}
    models = {f"models/{entry['slug']}.html" for entry in results["entries"]}
    # Both have a page for each row; only the sample has pieces of images.
    assert pages == {"leaderboard.html", *models} | ({"pixels.html"} if (run / "crops").exists() else set())
    assert {path: path.read_bytes() for path in before} == before
    page = (run / "leaderboard.html").read_text(encoding="utf-8")
    for entry in results["entries"]:
        assert entry["name"] in page
        assert entry["score"] is None or f'data-v="{entry["score"]:.12g}"' in page


@pytest.mark.parametrize("stored", [SAMPLE, VERSION_1])
def test_a_stored_run_has_its_curves_samples_and_layers(stored):
    folder = load_run(stored)
    assert folder.run.track.score_expression is not None
    assert {"psnr-runtime", "score-runtime", "psnr-macs"} <= {d.name for d in all_figures(folder, scored_rows(folder))}
    for entry in folder.run.entries:
        timing = folder.timing(entry.slug)
        assert (timing is None) == (entry.runtime_ms is None)
        if timing is not None:
            assert len(timing.samples) == entry.runtime_ms.samples
        assert bool(folder.layers(entry.slug)) == (stored / "layers" / f"{entry.slug}.json").exists()
    assert all(export(folder, form) for form in FORMS)
