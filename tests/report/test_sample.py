"""The committed sample, a run of schema version 1, is still read and reported in every form."""

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

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"


@pytest.fixture
def sample(tmp_path):
    """Return a copy of the sample without its pages."""
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder)
    for page in folder.rglob("*.html"):
        page.unlink()
    return folder


def test_the_sample_is_rendered_from_its_files(sample):
    stored = json.loads((sample / "results.json").read_text())
    if stored["schema_version"] != 1:
        pytest.skip("the committed sample is of the present schema version")
    before = {path: path.read_bytes() for path in sample.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, ["report", str(sample)])
    assert done.exit_code == 0, done.output
    written = {path for path in sample.rglob("*") if path.is_file()} - set(before)
    pages = {str(path.relative_to(sample)) for path in written if path.suffix == ".html"}
    assert pages == {str(page.relative_to(SAMPLE)) for page in SAMPLE.rglob("*.html")}
    assert {path: path.read_bytes() for path in before} == before
    page = (sample / "leaderboard.html").read_text(encoding="utf-8")
    for entry in stored["entries"]:
        assert entry["name"] in page
        assert entry["score"] is None or f'data-v="{entry["score"]:.12g}"' in page


def test_the_sample_has_its_curves_samples_and_layers(sample):
    folder = load_run(sample)
    assert folder.run.track.score_expression is not None
    assert {"psnr-runtime", "score-runtime", "psnr-macs"} <= {d.name for d in all_figures(folder, scored_rows(folder))}
    for entry in folder.run.entries:
        timing = folder.timing(entry.slug)
        assert (timing is None) == (entry.runtime_ms is None)
        if timing is not None:
            assert len(timing.samples) == entry.runtime_ms.samples
        assert bool(folder.layers(entry.slug)) == (SAMPLE / "layers" / f"{entry.slug}.json").exists()
    assert all(export(folder, form) for form in FORMS)
