import json
import shutil

import pytest

from harness.analysis.compare_runs import compare_runs
from harness.report import load_run
from harness.report.compare import build_comparison, comparison_text


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
    assert not comparison.conditions
    assert not comparison.added
    assert not comparison.removed
    assert not [change for change in comparison.changes if change.significant]
    assert len(comparison.changes) == 24


def with_times(run, slug, factor, *, calls=244):
    """Rewrite a row's samples and the figures that follow from them, as a run that took `factor` times as long."""
    file = run.path / "samples" / f"{slug}.json"
    record = json.loads(file.read_text())
    record["samples"] = [[at, ms * factor] for at, ms in record["samples"][-calls:]]
    file.write_text(json.dumps(record))
    results = json.loads((run.path / "results.json").read_text())
    row = next(row for row in results["entries"] if row["slug"] == slug)
    time = row["runtime_ms"]
    time.update({key: time[key] * factor for key in ("mean", "median", "p95")})
    time.update(ci=[end * factor for end in time["ci"]], samples=calls, stable=calls > 9)
    row["score"] /= factor**0.5
    (run.path / "results.json").write_text(json.dumps(results))
    return load_run(run.path)


def test_a_runtime_counts_as_changed_only_if_the_samples_differ_significantly(changed):
    before, after = changed(lambda results: None)
    after = with_times(after, "row-0", 0.8)
    after = with_times(after, "row-1", 1.01)  # less than processes differ by
    comparison = compare_runs(before, after)
    assert named(comparison, "LRSRN").runtime.significant is True
    assert named(comparison, "LRSRN").runtime.ratio == pytest.approx(0.8)
    assert named(comparison, "LRSRN").score.significant is True
    assert named(comparison, "RT4KSR").runtime.significant is False
    assert named(comparison, "RT4KSR").score.significant is False
    assert comparison.changes[0].after.name == "LRSRN"


def test_without_samples_a_runtime_is_judged_by_its_interval(changed):
    before, after = changed(lambda results: None)
    after = with_times(with_times(after, "row-0", 0.8), "row-1", 1.01)
    shutil.rmtree(after.path / "samples")
    comparison = compare_runs(before, load_run(after.path))
    assert named(comparison, "LRSRN").runtime.significant is True
    assert named(comparison, "RT4KSR").runtime.significant is False
    assert named(comparison, "LRSRN").score.significant is None  # nothing to resample


def test_a_single_call_without_samples_tells_nothing(changed):
    def edit(results):
        results["entries"][0]["runtime_ms"].update(mean=9.0, median=9.0, ci=[9.0, 9.0], samples=1, stable=False)
        results["entries"][0]["score"] *= 1.1

    before, after = changed(edit)
    shutil.rmtree(after.path / "samples")
    change = named(compare_runs(before, load_run(after.path)), "LRSRN")
    assert change.runtime.significant is None
    assert change.score.significant is None


@pytest.mark.parametrize(("factor", "significant"), [(0.9, False), (0.5, True)])
def test_few_calls_are_taken_to_be_known_to_a_tenth_each(changed, factor, significant):
    before, after = changed(lambda results: None)
    change = named(compare_runs(before, with_times(after, "row-0", factor, calls=2)), "LRSRN")
    assert change.runtime.significant is significant


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
    assert named(comparison, "LRSRN").psnr.significant is True
    assert named(comparison, "RT4KSR").psnr.significant is False


def test_without_images_nothing_tells(changed):
    before, after = changed(lambda results: None)
    (after.path / "per_image.csv").unlink()
    assert named(compare_runs(before, load_run(after.path)), "LRSRN").psnr.significant is None


def test_differing_conditions_are_flagged(changed):
    def edit(results):
        results["device"]["name"] = "NVIDIA H100"
        results["device"]["torch"] = "2.14.0"
        results["dataset"]["fingerprint"] = "00" * 32
        del results["device"]["versions"]["pillow"]

    comparison = compare_runs(*changed(edit))
    invalid = {one.what: one.invalidates for one in comparison.conditions}
    assert invalid == {"data set": "quality and scores", "device": "times and scores", "torch": "", "pillow": ""}


def slower_and_worse(folder):
    """Change time and quality of a row so much that both differ significantly."""
    lines = [line.split(",") for line in (folder.path / "per_image.csv").read_text().splitlines()]
    moved = [",".join([*line[:2], f"{float(line[2]) - 1}", *line[3:]] if "row-0" in line else line) for line in lines]
    (folder.path / "per_image.csv").write_text("\n".join(moved) + "\n")
    return with_times(folder, "row-0", 2.0)


@pytest.mark.parametrize(
    ("key", "values", "left"),
    [
        ("device", {}, {"score", "psnr", "runtime"}),
        ("device", {"name": "NVIDIA H100"}, {"psnr"}),
        ("dataset", {"fingerprint": "00" * 32}, {"runtime"}),
        ("track", {"bicubic_psnr": 29.0}, {"psnr", "runtime"}),
        ("protocol", {"precision": "bf16"}, set()),
    ],
)
def test_figures_of_other_conditions_have_no_difference_and_no_mark(changed, key, values, left):
    before, after = changed(lambda results: results[key].update(values))
    comparison = compare_runs(before, slower_and_worse(after))
    change = named(comparison, "LRSRN")
    shifts = {"score": change.score, "psnr": change.psnr, "runtime": change.runtime}
    assert {name for name, shift in shifts.items() if shift.comparable} == left
    assert {name for name, shift in shifts.items() if shift.significant} == left
    assert {name for name, shift in shifts.items() if shift.ratio is None} == set(shifts) - left
    assert change.significant == bool(left)
    line = next(line for line in comparison_text(comparison).splitlines() if line.startswith("LRSRN"))
    assert line.count("*") == len(left)
    assert line.count("n/a") == 3 - len(left)
    page = build_comparison(comparison).read_text()
    assert ('class="slower"' in page) == ("runtime" in left)


def test_what_came_and_went_is_listed_and_a_new_status_is_real(changed):
    def edit(results):
        gone, failed = results["entries"].pop(3), results["entries"][0]
        assert gone["name"] == "IMDN"
        failed.update(status="failed", score=None, score_ci=None, rank=None,
                      error={"stage": "load", "type": "ImportError", "message": "gone"})  # fmt: skip
        results["entries"].append({**results["entries"][1], "name": "Newcomer", "slug": "newcomer", "psnr_rgb": None})

    before, after = changed(edit)
    comparison = compare_runs(before, after)
    assert [entry.name for entry in comparison.removed] == ["IMDN"]
    assert [entry.name for entry in comparison.added] == ["Newcomer"]
    assert named(comparison, "LRSRN").significant
    text = comparison_text(compare_runs(before, after))
    assert "ok -> failed" in text
    assert "added: Newcomer" in text


def test_the_terminal_gets_no_control_characters(changed):
    def edit(results):
        results["entries"][0]["name"] = "evil\x1b[2J\u202eeman"

    text = comparison_text(compare_runs(*changed(edit)))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_page_shows_names_as_text_and_is_repeatable(changed):
    before, after = changed(lambda results: None)
    page = build_comparison(compare_runs(before, after))
    first = page.read_bytes()
    assert build_comparison(compare_runs(before, after)).read_bytes() == first
    assert b"<script>window.pwned" not in first
    assert page.parent == after.path
