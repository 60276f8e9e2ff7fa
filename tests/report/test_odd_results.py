"""Results that are valid but strange are reported, whatever is missing, huge or tiny."""

import json

import pytest

from harness.report import load_run
from harness.report.exports import FORMS, export
from harness.report.page import build_report

FIELDS = ("score", "score_ci", "params", "macs", "runtime_ms", "fps", "psnr_rgb", "psnr_y", "ssim_rgb", "rank")


@pytest.fixture
def few(make_run):
    """Return a function that edits three submissions of a small run and reports it in every form."""
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    results["entries"] = [*results["entries"][:3], *results["entries"][16:18], *results["entries"][-2:]]

    def report(edit):
        edit(results)
        (run / "results.json").write_text(json.dumps(results))
        folder = load_run(run)
        return build_report(run).read_text(encoding="utf-8"), {form: export(folder, form) for form in FORMS}

    return report


def fields(**values):
    return lambda results: [entry.update(values) for entry in results["entries"][:3]]


def times(ms):
    new = {"median": ms, "mean": ms, "ci": [ms, ms], "p95": ms}
    return lambda results: [(e["runtime_ms"].update(new), e.update(fps=1000 / ms)) for e in results["entries"][:3]]


def test_everything_missing(few):
    page, forms = few(fields(**dict.fromkeys(FIELDS)))
    assert page.count("<tr id=") == 7
    assert forms["csv"].count("\n") == 8


@pytest.mark.parametrize(
    "edit",
    [
        times(1e-6),
        times(1e9),
        fields(score=2.9e14, score_ci=[1e14, 3e14]),
        fields(score=-5.0, score_ci=[-6.0, 1e9]),
        fields(psnr_rgb=100.0, macs=1, params=0),
        fields(psnr_rgb=0.0, fps=0.0),
        fields(name="\x00\x1b[2J\u2028\u202e", team="x" * 5000),
        lambda results: results["track"].update(name="not-known-here"),
        lambda results: results["track"].update(name="ais2024-x4"),
    ],
    ids=["fast", "slow", "astronomic", "negative", "perfect", "black", "name", "track", "luma"],
)
def test_strange_figures(few, edit):
    page, forms = few(edit)
    assert page.count("<tr id=") == 7
    assert page.count("<svg") >= 3
    assert sum(line.startswith("|") for line in forms["markdown"].splitlines()) == 7


@pytest.mark.parametrize("kept", [slice(0, 0), slice(0, 1), slice(3, 5)], ids=["nothing", "one", "baselines"])
def test_few_rows(few, kept):
    page, _ = few(lambda results: results.update(entries=results["entries"][kept]))
    assert page.endswith("</html>\n")
