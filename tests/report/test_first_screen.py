"""What the leaderboard page says first: banners of disturbed runs, the matrix of pairs, citations, shared assets."""

import hashlib
import json
import re

import pytest

from harness.analysis.compare_runs import compare_runs
from harness.report import load_run
from harness.report.assets import FOLDER, LIBRARY, SHA256, write_assets
from harness.report.citation import run_bibtex
from harness.report.compare import comparison_text
from harness.report.page import build_report
from harness.report.pairs import pair_matrix
from harness.report.rows import scored_rows
from harness.statistics.disturbances import disturbances_of


def change_results(folder, change):
    results = json.loads((folder / "results.json").read_text())
    change(results)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def change_samples(folder, **values):
    file = folder / "samples" / "row-0.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return folder


def hot(at_s):
    return {"at_s": at_s, "clock_mhz": 900, "temperature_c": 91, "slowed_by": ["hardware thermal slowdown"]}


def unsettle(results):
    results["entries"][0]["runtime_ms"]["stable"] = False


def spread(results):
    results["process_spread"] = {"relative": 0.42, "degrees": 9}


DISTURBED = {
    "load": lambda folder: change_samples(folder, busy=0.79),
    "throttling": lambda folder: change_samples(folder, card=[hot(0.0)]),
    "spread": lambda folder: change_results(folder, spread),
    "unsettled": lambda folder: change_results(folder, unsettle),
}


@pytest.mark.parametrize("kind", DISTURBED)
def test_each_disturbance_has_its_banner_with_advice(make_run, kind):
    folder = DISTURBED[kind](make_run())
    source = build_report(folder).read_text(encoding="utf-8")
    (found,) = disturbances_of(load_run(folder))
    assert re.findall(r'<li data-kind="(\w+)">', source) == [kind]
    assert found.text in source
    assert found.advice.split("`")[0] in source


def test_a_quiet_run_has_no_banner(page_source):
    assert 'id="disturbed"' not in page_source
    assert "data-kind" not in page_source


def test_a_stored_disturbance_is_shown_once(make_run):
    def store(results):
        found = {"kind": "load", "text": "Others used 80%.", "advice": "End them."}
        results.update({"disturbances": [found], "warnings": ["Others used 80%. End them.", "A plug-in failed."]})

    folder = change_results(make_run(), store)
    source = build_report(folder).read_text(encoding="utf-8")
    assert source.count("Others used 80%.") == 2  # the line and what it unfolds to
    assert load_run(folder).run.remarks == ["A plug-in failed."]


def test_a_comparison_names_the_load_and_what_disturbed_either_run(make_run):
    quiet, busy = change_samples(make_run("quiet"), busy=0.02), change_samples(make_run("busy"), busy=0.79)
    text = comparison_text(compare_runs(load_run(quiet), load_run(busy)))
    assert "! load of other programs: up to 2% -> up to 79%  (times and scores cannot be compared)" in text
    assert "! disturbed: 2026-05-01-x2: Other programs used up to 79% of the processor" in text
    assert "load of other programs" not in comparison_text(compare_runs(load_run(quiet), load_run(quiet)))


def test_the_matrix_of_pairs_is_that_of_the_run(fake_run):
    run = load_run(fake_run).run
    matrix = pair_matrix(run, scored_rows(load_run(fake_run)))
    place = {row.entry.slug: at for at, (row, _) in enumerate(matrix.rows)}
    for pair in run.comparisons:
        one, other = (place[slug] for slug in pair.slugs)
        there, back = matrix.rows[one][1][other], matrix.rows[other][1][one]
        tied = pair.corrected_p_value >= 0.05
        assert (there.verdict, back.verdict) == (("tied", "tied") if tied else ("ahead", "behind"))
        assert there.text == back.text == ("0.400" if tied else "< 0.001")
    assert all(line[at].verdict == "self" for at, (_, line) in enumerate(matrix.rows))


def test_a_run_without_comparisons_has_no_matrix(make_run):
    folder = load_run(change_results(make_run(), lambda results: results.update(comparisons=[])))
    assert pair_matrix(folder.run, scored_rows(folder)) is None


def test_the_citation_of_a_run_is_bibtex(make_run):
    def rename(results):
        results["device"]["name"] = "50 % & {more} \\input{x}"

    text = run_bibtex(load_run(change_results(make_run(), rename)).run)
    assert text.startswith("@misc{sr-harness-2026-05-01-x2,\n")
    assert text.count("{") == text.count("}")
    assert r"50 \% \& more inputx" in text
    assert "year = {2026}" in text


def test_the_page_of_a_model_shows_what_its_manifest_says(make_run):
    def add(results):
        results["entries"][0]["about"] = {
            "description": "Plain <b>convolutions</b>", "authors": ["A. One", "B. Two"], "license": "Apache-2.0",
            "paper": "javascript:alert(1)", "code": "https://example.org/code", "bibtex": "@inproceedings{one,}",
        }  # fmt: skip

    folder = change_results(make_run(), add)
    build_report(folder)
    source = (folder / "models" / "row-0.html").read_text(encoding="utf-8")
    for text in ("Plain &lt;b&gt;convolutions", "A. One, B. Two", "Apache-2.0", "@inproceedings{one,}"):
        assert text in source
    assert 'href="https://example.org/code" rel="noreferrer noopener nofollow"' in source
    assert 'href="javascript' not in source


def test_the_anchors_correction_is_shown_with_its_factor(make_run):
    turns = [{"number": at, "calls": 61, "anchor_ms": [2.0, 2.0]} for at in range(4)]
    folder = change_samples(make_run(), rounds=turns, session="one", anchor="one")
    build_report(folder)
    source = (folder / "models" / "row-0.html").read_text(encoding="utf-8")
    words = re.search(r'id="correction">(.*?)</p>', source)[1]
    raw, corrected, factor = (float(number) for number in re.findall(r"(\d+\.\d+) (?:ms|times)", words))
    calls = [ms for _, ms in json.loads((folder / "samples" / "row-0.json").read_text())["samples"]]
    assert raw == pytest.approx(sum(calls) / len(calls), abs=5e-4)
    assert corrected == pytest.approx(load_run(folder).run.entries[0].runtime_ms.mean, abs=5e-4)
    assert factor == pytest.approx(corrected / raw, abs=1e-3)
    assert 'class="level raw"' in source


def test_the_library_is_written_once_beside_the_pages(tmp_path):
    write_assets(tmp_path)
    files = {path.name: path for path in (tmp_path / FOLDER).iterdir()}
    assert set(files) == set(SHA256)
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[name]
    before = files[LIBRARY].stat().st_mtime_ns
    write_assets(tmp_path)
    assert files[LIBRARY].stat().st_mtime_ns == before
    files[LIBRARY].write_bytes(b"cut off")
    write_assets(tmp_path)
    assert hashlib.sha256(files[LIBRARY].read_bytes()).hexdigest() == SHA256[LIBRARY]


def test_failures_of_one_cause_stand_together(make_run):
    def fail(results):
        for row in results["entries"][2:5]:
            row.update(status="failed", score=None, rank=None, rank_range=None)
            row["error"] = {"stage": "load", "type": "ImportError", "message": f"No module named 'x' in {row['name']}"}

    source = build_report(change_results(make_run(), fail)).read_text(encoding="utf-8")
    assert re.findall(r'<tr class="cause">.*?<bdi>(3 failed at load)', source) == ["3 failed at load"]
