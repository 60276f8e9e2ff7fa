"""Gates of a track on the page: lines in both plots at their level, beside the rows that miss them."""

import json
import re

import pytest

from harness.report import load_run
from harness.report.page import build_report
from harness.report.rules import gate_lines

GATES = [
    {"figure": "psnr", "least": 34.5, "text": "psnr >= 34.5"},
    {"figure": "params", "least": 20000.0, "text": "params >= 20000"},
    {"figure": "psnr_y", "least": 30.0, "text": "psnr_y >= 30"},
    {"figure": "lpips", "least": 0.1, "text": "lpips >= 0.1"},
]


@pytest.fixture
def gated(make_run):
    """Return the leaderboard of a run whose track has gates."""
    folder = make_run()
    results = json.loads((folder / "results.json").read_text())
    results["track"]["gates"] = GATES
    results["track"]["bicubic_source"] = "unknown"
    (folder / "results.json").write_text(json.dumps(results))
    return build_report(folder)


def test_gates_are_levels_of_the_columns_that_they_concern(gated):
    lines = {line.text: line for line in gate_lines(load_run(gated.parent).run)}
    assert "lpips >= 0.1" not in lines
    assert (lines["psnr >= 34.5"].keys, lines["psnr >= 34.5"].level) == (("psnr_rgb",), 34.5)
    assert (lines["params >= 20000"].keys, lines["params >= 20000"].level) == (("params_k",), 20.0)
    assert lines["psnr_y >= 30"].keys == ("psnr_y",)
    page = gated.read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script[^>]*id="explore-data"[^>]*>(.*?)</script>', page, re.DOTALL).group(1))
    assert [gate["text"] for gate in data["gates"]] == ["psnr >= 34.5", "params >= 20000", "psnr_y >= 30"]
    assert data["levels"] == {}
    assert "PSNR of bicubic unknown" in page
    assert "dashed: the gates" in page


def test_the_interactive_plot_draws_the_gates_of_its_axes(gated, open_page, until):
    page = open_page(gated)
    until(page, "document.getElementById('explore').dataset.marks > 0")
    drawn = "plot.stage.layout.shapes.map(shape => [shape.xref, shape.yref, shape.y0, shape.x0])"
    assert page.evaluate(drawn) == [["paper", "y", 34.5, 0]]
    assert "psnr >= 34.5" in page.locator("#stage").inner_text()
    page.locator("#axes select[name=x]").select_option("params_k")
    until(page, "plot.stage.layout.shapes.length === 2")
    assert ["x", "paper", 0, 20] in page.evaluate(drawn)
    assert page.evaluate("plot.view().x[0] < Math.log10(20)")
