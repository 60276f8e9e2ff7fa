"""The sentence on top of the page: who leads, who is tied with it, how far the best real-time network is."""

import json

import pytest

from harness.report.verdict import verdict
from harness.results.run_folder import load_run

ISOLATES = dict.fromkeys(map(ord, "\u2068\u2069"))


def said(folder, change=None):
    results = json.loads((folder / "results.json").read_text())
    if change is not None:
        change(results)
        (folder / "results.json").write_text(json.dumps(results))
    return verdict(load_run(folder).run).translate(ISOLATES)


def test_a_tied_leader_names_whom_it_cannot_be_told_apart_from(fake_run):
    text = said(fake_run)
    assert text.startswith("ALONG leads with a score of 23.74 (95 % interval 23.38 to 24.02), but cannot be told apart")
    assert "from RTVSR." in text
    assert "It runs in real time: 524 frames per second at 3840\N{MULTIPLICATION SIGN}2160." in text


def test_a_clear_leader_is_ahead_with_its_p_value(make_run):
    def untie(results):
        for entry in results["entries"]:
            entry["tied_with"] = []

    assert "ahead of RTVSR (23.17, p = 0.400)" in said(make_run(), untie)


def slow_leader(results):
    ranked = sorted((entry for entry in results["entries"] if entry.get("rank")), key=lambda entry: entry["rank"])
    for entry in ranked[:2]:
        entry["fps"] = 9.0


def all_slow(results):
    for entry in results["entries"]:
        entry["fps"] = 2.5 if entry["name"] == "OV" else 1.0


def nearly_real_time(results):
    for entry in results["entries"]:
        entry["fps"] = 23.97


def test_a_rate_below_real_time_is_not_printed_as_real_time(make_run):
    text = said(make_run(), nearly_real_time)
    assert "No ranked submission reaches 24 frames per second" in text
    assert "runs at 23.97." in text


def partly_counted(results):
    for entry in results["entries"]:
        if entry.get("rank") == 1:
            entry["incomplete_ops"], entry["partly_counted"] = ["custom::warp"], ["macs"]


def test_a_leader_whose_score_is_not_exact_leads_with_that_remark(make_run):
    assert "that rests on a lower bound of macs, but cannot" in said(make_run(), partly_counted)


def untested(results):
    results["comparisons"] = []
    for entry in results["entries"]:
        entry["tied_with"] = []


def level(results):
    untested(results)
    for entry in results["entries"]:
        if entry.get("rank") == 2:
            entry["rank"] = 1


def beaten_by_bicubic(results):
    for entry in results["entries"]:
        entry.update({"rank": None, "rank_range": None, "tied_with": []})


def unranked(*, gated=0, on_other_backend=0, at_zero=0):
    """Return an edit after which no row has a rank, the first rows for the given reasons and all others by bicubic."""

    def edit(results):
        beaten_by_bicubic(results)
        scored = [e for e in results["entries"] if e["kind"] == "submission" and e["status"] == "ok"]
        for entry in scored:
            entry.update(score=0.0, score_ci=[0.0, 0.0], delta_psnr_bicubic=-0.5)
        for entry in scored[:gated]:
            entry["failed_gates"] = ["psnr >= 40 dB: 30.1"]
        for entry in scored[gated : gated + on_other_backend]:
            entry["backend"] = "channels_last"
        for entry in scored[gated + on_other_backend :][:at_zero]:
            entry["delta_psnr_bicubic"] = 0.5

    return edit


def without_submissions(results):
    results["entries"] = [entry for entry in results["entries"] if entry["kind"] == "baseline"]
    results["comparisons"] = []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            slow_leader,
            "The best in real time (24 frames per second at 3840\N{MULTIPLICATION SIGN}2160) is Bicubic++: rank 3",
        ),
        (slow_leader, "\N{MINUS SIGN}0.59 dB from the leader"),
        (all_slow, "No ranked submission reaches 24 frames per second"),
        (all_slow, "the fastest, OV, runs at 2.5."),
        (untested, "ahead of RTVSR (23.17; the difference was not tested)."),
        (level, "RTVSR leads with a score of 23.17 (95 % interval 22.82 to 23.45), level with ALONG."),
        (beaten_by_bicubic, "Nothing beats bicubic interpolation: no submission exceeds its 29.41 dB PSNR RGB."),
        (without_submissions, "The run has no submissions"),
        (unranked(), "Nothing beats bicubic interpolation"),
        (unranked(gated=16), "There is no ranking: no submission passes the gates of the track."),
        (
            unranked(gated=1),
            ": 15 submissions are not better than bicubic interpolation, 1 misses a gate of the track.",
        ),
        (unranked(gated=2, on_other_backend=1), ", 2 miss a gate of the track, 1 does not run on backend eager."),
        (
            unranked(gated=15),
            ": 15 submissions miss a gate of the track, 1 is not better than bicubic",
        ),
        (unranked(on_other_backend=16), "There is no ranking: no submission runs on backend eager."),
        (unranked(at_zero=16), "There is no ranking: no submission has a score above 0."),
        (unranked(at_zero=1), "15 submissions are not better than bicubic interpolation, 1 has a score of 0."),
    ],
)
def test_other_results(make_run, change, words):
    assert words in said(make_run(), change)


def test_many_ties_are_counted_and_names_isolated(make_run):
    folder = make_run()

    def tie(results):
        leader = next(entry for entry in results["entries"] if entry.get("rank") == 1)
        leader["tied_with"] = [e["slug"] for e in results["entries"] if e.get("rank") and e is not leader]

    assert "cannot be told apart from RTVSR, Bicubic++, OV and 12 more." in said(folder, tie)
    text = verdict(load_run(folder).run)
    assert text.count("\u2068") == text.count("\u2069") > 0
