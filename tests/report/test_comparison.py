import json
import shutil

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from harness.report import load_run
from harness.report.compare import build_comparison, comparison_text
from harness.report.comparison import compare_runs, mean_differs


@pytest.fixture
def changed(fake_run, tmp_path):
    """Return a function that copies the run, lets its caller edit the results, and gives both runs."""

    def change(edit, name="after"):
        folder = tmp_path / name
        shutil.copytree(fake_run, folder)
        results = json.loads((folder / "results.json").read_text())
        edit(results)
        (folder / "results.json").write_text(json.dumps(results))
        return load_run(fake_run), load_run(folder)

    return change


def named(comparison, name):
    return next(change for change in comparison.changes if change.after.name == name)


def test_a_run_equals_itself(changed):
    comparison = compare_runs(*changed(lambda results: None))
    assert not comparison.differences
    assert not comparison.added
    assert not comparison.removed
    assert not [change for change in comparison.changes if change.real]
    assert len(comparison.changes) == 24


def test_a_runtime_counts_as_changed_only_where_intervals_part(changed):
    def edit(results):
        lrsrn, rt4ksr = results["entries"][0]["runtime_ms"], results["entries"][1]["runtime_ms"]
        lrsrn.update(mean=9.0, median=9.0, ci=[8.9, 9.1])
        rt4ksr.update(mean=rt4ksr["mean"] * 1.01, ci=[value * 1.01 for value in rt4ksr["ci"]])

    comparison = compare_runs(*changed(edit))
    assert named(comparison, "LRSRN").runtime.real is True
    assert named(comparison, "LRSRN").runtime.ratio == pytest.approx(9.0 / (11.19 * 1.008))
    assert named(comparison, "RT4KSR").runtime.real is False
    assert comparison.changes[0].after.name == "LRSRN"
    assert named(comparison, "LRSRN").score.real is False  # the same number before and after


def test_a_runtime_of_few_calls_tells_nothing(changed):
    def edit(results):
        results["entries"][0]["runtime_ms"].update(mean=9.0, median=9.0, ci=[9.0, 9.0], samples=3, stable=False)

    change = named(compare_runs(*changed(edit)), "LRSRN")
    assert change.runtime.real is None
    assert change.score.real is None


def test_a_psnr_is_judged_on_paired_images(changed):
    before, after = changed(lambda results: None)
    text = (after.path / "per_image.csv").read_text().splitlines()
    moved = [
        ",".join([*line.split(",")[:2], str(float(line.split(",")[2]) + 0.05), *line.split(",")[3:]])
        if line.startswith("row-0,")
        else line
        for line in text
    ]
    (after.path / "per_image.csv").write_text("\n".join(moved) + "\n")
    comparison = compare_runs(before, load_run(after.path))
    assert named(comparison, "LRSRN").psnr.real is True
    assert named(comparison, "RT4KSR").psnr.real is False


def test_without_images_nothing_tells(changed):
    before, after = changed(lambda results: None)
    (after.path / "per_image.csv").unlink()
    assert named(compare_runs(before, load_run(after.path)), "LRSRN").psnr.real is None


@pytest.mark.parametrize("seed", range(6))
def test_paired_interval_agrees_with_the_t_test_of_scipy(seed):
    pairs = np.random.default_rng(seed).normal(0.05, 0.08, 9)
    assert mean_differs(pairs.tolist()) == (ttest_1samp(pairs, 0.0).pvalue < 0.05)


def test_differing_conditions_are_flagged(changed):
    def edit(results):
        results["device"]["name"] = "NVIDIA H100"
        results["device"]["torch"] = "2.14.0"
        results["dataset"]["fingerprint"] = "00" * 32
        del results["device"]["versions"]["pillow"]

    comparison = compare_runs(*changed(edit))
    spoils = {one.what: one.spoils for one in comparison.differences}
    assert spoils == {"data set": "quality and scores", "device": "times and scores", "torch": "", "pillow": ""}


def test_what_came_and_went_is_listed_and_a_new_status_is_real(changed):
    def edit(results):
        gone, failed = results["entries"].pop(3), results["entries"][0]
        assert gone["name"] == "IMDN"
        failed.update(status="failed", score=None, score_ci=None, rank=None,
                      error={"stage": "load", "type": "ImportError", "message": "gone"})  # fmt: skip
        results["entries"].append({**results["entries"][1], "name": "Newcomer", "slug": "newcomer"})

    before, after = changed(edit)
    comparison = compare_runs(before, after)
    assert [entry.name for entry in comparison.removed] == ["IMDN"]
    assert [entry.name for entry in comparison.added] == ["Newcomer"]
    assert named(comparison, "LRSRN").real
    text = comparison_text(before, after)
    assert "ok -> failed" in text
    assert "added: Newcomer" in text


def test_the_terminal_gets_no_control_characters(changed):
    def edit(results):
        results["entries"][0]["name"] = "evil\x1b[2J\u202eeman"

    text = comparison_text(*changed(edit))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_page_shows_names_as_text_and_is_repeatable(changed):
    before, after = changed(lambda results: None)
    page = build_comparison(before.path, after.path)
    first = page.read_bytes()
    assert build_comparison(before.path, after.path).read_bytes() == first
    assert b"<script>window.pwned" not in first
    assert page.parent == after.path
