"""The whole run on small images, in this process: what is written, what is reused, what becomes of failures."""

import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from failing_anchor import FailingAnchor

import harness.run.plan
from harness.data import read_rgb
from harness.data.registry import add
from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.errors import ResultsError, UsageError
from harness.isolation.session import Session
from harness.pipeline import FinishedRun, run
from harness.quality import evaluate_pair, upscale_bicubic
from harness.report import load_run
from harness.report.exports import export
from harness.report.page import build_report
from harness.report.rebuild import rebuild_report
from harness.results import Entry, read_run
from harness.results.samples import read_timing
from harness.run.plan import RunRequest, make_plan
from harness.run.time_only import time_submission
from harness.statistics.runtime_summary import summarise_record
from harness.timing import get_protocol

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


class CountingEngine(InlineEngine):
    """Runs in this process and remembers what it was asked to open."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.anchors = 0

    def open(self, job: Job) -> Session:
        name = job.submission.name  # type: ignore[attr-defined]
        if name == "anchor":
            self.anchors += 1
        else:
            self.opened.append(name)
        return super().open(job)


MEASURED_ANEW = {"stage_seconds", "runtime_ms", "score", "score_ci", "fps", "peak_memory_bytes", "roofline"}


@pytest.fixture
def submit(submit_sharp: Submit) -> Submit:
    """Submit networks better than bicubic: another use is tried of worse ones, in a process of its own."""
    return submit_sharp


def by_name(finished: FinishedRun) -> dict[str, Entry]:
    return {entry.name: entry for entry in finished.run.entries}


def test_a_run_writes_all_its_files(submit: Submit, request_for: Request) -> None:
    submit("one")
    finished = run(request_for(with_baselines=True), engine=InlineEngine())
    rows = by_name(finished)
    assert {"one", "Bicubic", "Nearest", "Bilinear", "Lanczos"} <= set(rows)
    assert rows["one"].status == "ok", rows["one"].error
    assert rows["one"].psnr_rgb > rows["Bicubic"].psnr_rgb > rows["Nearest"].psnr_rgb
    assert rows["one"].params == 1
    assert rows["one"].rank == 1
    assert rows["Bicubic"].rank is None
    assert rows["Bicubic"].psnr_rgb == finished.run.track.bicubic_psnr
    assert rows["Bicubic"].score == 0.0
    for name in ("results.json", "leaderboard.html", "leaderboard.csv", "per_image.csv", "samples/one.json"):
        assert (finished.folder / name).stat().st_size > 0
    assert read_run(finished.folder) == finished.run
    samples = json.loads((finished.folder / "samples" / "one.json").read_text())
    assert len(samples["samples"]) == rows["one"].runtime_ms.samples
    assert finished.run.dataset.image_names == ["first", "second"]


def test_what_disturbed_a_run_is_stored_shown_and_a_warning(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.engines.this_machine.busy_share", lambda: (0.6, 0.0))
    submit("one")
    finished = run(request_for(), engine=InlineEngine())
    found = {one.kind: one for one in finished.run.disturbances or []}
    assert finished.run.foreign_load == 0.6
    assert "up to 60% of the processor" in found["load"].text
    assert {one.sentence for one in found.values()} <= set(finished.run.warnings)
    assert not {one.sentence for one in found.values()} & set(finished.run.remarks)
    assert found["load"].text in finished.report.read_text(encoding="utf-8")


def test_the_challenges_bicubic_is_for_its_own_images_alone(
    submit: Submit, request_for: Request, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a folder's name nor the name it is registered under is evidence: bicubic must reach the constant too."""
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    submit("one")
    images = images.rename(tmp_path / "ntire23-test")
    unregistered = run(request_for(dataset=str(images)), engine=InlineEngine()).run
    measured = unregistered.track.bicubic_psnr
    assert unregistered.track.bicubic_source == "measured"
    assert abs(measured - 33.916) > 0.15
    assert not [text for text in unregistered.warnings if "registered" in text]
    add("ntire23-test", images)
    claimed = run(request_for(dataset="ntire23-test"), engine=InlineEngine()).run
    assert (claimed.track.bicubic_psnr, claimed.track.bicubic_source) == (measured, "measured")
    assert any("registered as ntire23-test are not the challenge's" in text for text in claimed.warnings)
    constant = round(measured + 0.1, 3)  # another JPEG encoder
    track = replace(harness.run.plan.track_for_scale(2), official_bicubic={"ntire23-test": constant})
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda _scale: track)
    for name in (str(images), "ntire23-test"):
        official = run(request_for(dataset=name), engine=InlineEngine()).run
        assert (official.track.bicubic_psnr, official.track.bicubic_source) == (constant, "published")
        assert not [text for text in official.warnings if "registered" in text]


def test_an_unchanged_run_does_not_measure_bicubic_again(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    upscaled = []

    def counted(lr: np.ndarray, scale: int) -> np.ndarray:
        upscaled.append(lr.shape)
        return upscale_bicubic(lr, scale)

    monkeypatch.setattr("harness.run.bicubic_reference.upscale_bicubic", counted)
    submit("one")
    first = run(request_for(), engine=InlineEngine())
    assert len(upscaled) == 2
    assert run(request_for(), engine=InlineEngine()).run.track == first.run.track
    assert len(upscaled) == 2
    (Path(request_for().dataset) / "second.png").unlink()
    other = run(request_for(), engine=InlineEngine())
    assert len(upscaled) == 3
    assert other.run.track.bicubic_psnr != first.run.track.bicubic_psnr


@pytest.mark.parametrize("protocol", ["ntire23-cpu", "robust"])
def test_a_run_that_changes_nothing_keeps_its_files_and_its_date(
    submit: Submit, request_for: Request, protocol: str
) -> None:
    submit("one")
    request = request_for(protocol=protocol)
    folder = run(request, engine=InlineEngine()).folder
    results = folder / "results.json"
    results.write_text(re.sub(r'"created": "[^"]+"', '"created": "2001-02-03T04:05:06+00:00"', results.read_text()))
    build_report(folder)
    rebuild_report(folder)

    def visible() -> dict[str, int]:
        files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}

    before = visible()
    assert "leaderboard.html" in before
    again = run(request, engine=InlineEngine())
    assert again.run.run.created == read_run(folder).run.created == "2001-02-03T04:05:06+00:00"
    assert visible() == before
    submit("two")
    other = run(request, engine=InlineEngine())
    assert other.run.run.created > "2026"
    assert other.run.run.created[:10] in other.report.read_text()
    assert set(by_name(other)) == {"one", "two"}


def test_further_conventions_are_measured_on_the_same_outputs(submit: Submit, request_for: Request) -> None:
    submit("one")
    request = request_for(conventions=("matlab", "lrsrn"), save_images=True)
    finished = run(request, engine=InlineEngine())
    row = by_name(finished)["one"]
    assert list(row.conventions) == ["matlab", "lrsrn"]
    plan = make_plan(request)
    saved = [read_rgb(finished.folder / "images" / "one" / f"{name}.png") for name in plan.dataset.names]
    for name, figures in [("harness", row), *row.conventions.items()]:
        images = [evaluate_pair(sr, plan.dataset.pair(i)[1], name, scale=2) for i, sr in enumerate(saved)]
        for measure in ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y"):
            assert getattr(figures, measure) == pytest.approx(fmean(getattr(q, measure) for q in images), abs=1e-9)
    folder = load_run(finished.folder)
    assert folder.per_image["one"]["second"]["psnr_y_lrsrn"] == pytest.approx(images[1].psnr_y)
    (exported,) = [record for record in json.loads(export(folder, "json")) if record["name"] == "one"]
    assert exported["ssim_y_matlab"] == row.conventions["matlab"].ssim_y
    assert "lrsrn (reproduces" in (finished.folder / "leaderboard.html").read_text()
    assert "By other conventions" in (finished.folder / "models" / "one.html").read_text()


def test_saved_images_are_made_once_and_again_where_one_is_missing(submit: Submit, request_for: Request) -> None:
    submit("one")
    engine = CountingEngine()
    run(request_for(), engine=engine)
    kept = run(request_for(save_images=True), engine=engine).folder / "images" / "one"
    assert engine.opened == ["one", "one"]
    assert sorted(path.name for path in kept.iterdir()) == [".complete", "first.png", "second.png"]
    run(request_for(save_images=True), engine=engine)
    assert engine.opened == ["one", "one"]
    (kept / "first.png").unlink()
    (kept / "stale.png").write_bytes(b"")
    run(request_for(save_images=True), engine=engine)
    assert engine.opened == ["one", "one", "one"]
    assert not (kept / "stale.png").exists()


def test_an_unknown_convention_ends_the_run_before_it_begins(submit: Submit, request_for: Request) -> None:
    submit("one")
    with pytest.raises(UsageError, match="matlab"):
        run(request_for(conventions=("mathlab",)), engine=InlineEngine())


def test_only_what_changed_is_measured_again(submit: Submit, request_for: Request, tmp_path: Path) -> None:
    submit("one")
    submit("two", "x = x * 0.999")
    engine = CountingEngine()
    first = run(request_for(), engine=engine)
    assert engine.opened == ["one", "two"]
    second = run(request_for(), engine=engine)
    assert engine.opened == ["one", "two"]
    assert [e.model_dump() for e in second.run.entries] == [e.model_dump() for e in first.run.entries]
    submit("two", "x = x * 0.998")
    (tmp_path / "submissions" / "one").rename(tmp_path / "submissions" / "renamed")
    third = run(request_for(), engine=engine)
    assert engine.opened == ["one", "two", "two"]
    assert by_name(third)["two"].psnr_rgb != by_name(first)["two"].psnr_rgb
    run(request_for(fresh=True), engine=engine)
    assert len(engine.opened) == 5


def test_another_time_budget_is_another_measurement(submit: Submit, request_for: Request) -> None:
    submit("one")
    engine = CountingEngine()
    run(request_for(), engine=engine)
    run(request_for(time_budget_s=0.06), engine=engine)
    assert engine.opened == ["one", "one"]


@pytest.mark.parametrize(
    ("body", "before", "stage", "message"),
    [
        ("pass", "raise OSError('no such library')\n", "load", "no such library"),
        ("raise RuntimeError('inside')", "", "load", "inside"),
        ("return x", "", "load", "expected 1x3x"),
        ("x = x * float('nan')", "", "load|reparameterize|time", "NaN|finite|not a number"),
    ],
)
def test_a_failure_is_a_row_and_leaves_the_others_alone(
    submit: Submit, request_for: Request, body: str, before: str, stage: str, message: str
) -> None:
    submit("good")
    alone = by_name(run(request_for(), engine=InlineEngine()))["good"]
    submit("bad", body, before=before)
    rows = by_name(run(request_for(fresh=True), engine=InlineEngine()))
    assert rows["bad"].status == "failed"
    assert rows["bad"].error.stage in stage.split("|")
    assert any(part in rows["bad"].error.message for part in message.split("|"))
    assert rows["good"].model_dump(exclude=MEASURED_ANEW) == alone.model_dump(exclude=MEASURED_ANEW)


def test_a_scale_that_a_model_does_not_support_is_said(submit: Submit, request_for: Request) -> None:
    submit("three", scales="[3]")
    row = by_name(run(request_for(scale=2), engine=InlineEngine()))["three"]
    assert row.status == "unsupported"
    assert "x2" in row.error.message


def test_a_broken_manifest_is_a_row(submit: Submit, request_for: Request) -> None:
    submit("good")
    (submit("broken") / "submission.toml").write_text("[submission]\nnane = 'broken'\n")
    rows = {entry.slug: entry for entry in run(request_for(), engine=InlineEngine()).run.entries}
    assert rows["broken"].status == "failed"
    assert "nane" in rows["broken"].error.message
    assert rows["good"].status == "ok", rows["good"].error


def test_what_fails_to_load_from_a_zip_names_the_zip(submit: Submit, request_for: Request) -> None:
    folder = submit("bad")
    (folder / "arch.py").write_text("def srmodel():\n    return 3\n")
    archive = Path(shutil.make_archive(str(folder.parent / "packed"), "zip", folder))
    shutil.rmtree(folder)
    (row,) = run(request_for(), engine=InlineEngine()).run.entries
    assert row.error.message.startswith(f"{archive}: arch:srmodel returned a int")


def test_a_folder_without_a_submission_is_named_in_the_warnings(submit: Submit, request_for: Request) -> None:
    (submit("good").parent / "empty").mkdir()
    warnings = run(request_for(), engine=InlineEngine()).run.warnings
    assert [line for line in warnings if line.startswith("skipped: empty")]


def test_failures_are_kept_until_they_are_to_be_tried_again(submit: Submit, request_for: Request) -> None:
    submit("bad", "raise RuntimeError('inside')")
    engine = CountingEngine()
    run(request_for(), engine=engine)
    run(request_for(), engine=engine)
    assert engine.opened == ["bad"]
    run(request_for(retry_failed=True), engine=engine)
    assert engine.opened == ["bad", "bad"]


def test_an_interrupt_keeps_what_was_measured(submit: Submit, request_for: Request) -> None:
    submit("a-first")
    submit("b-second", "x = x * 0.999")

    class Interrupted(CountingEngine):
        def open(self, job: Job) -> Session:
            if self.opened and job.submission.name != "anchor":  # type: ignore[attr-defined]
                raise KeyboardInterrupt
            return super().open(job)

    finished = run(request_for(), engine=Interrupted())
    assert not finished.run.run.complete
    assert list(by_name(finished)) == ["a-first"]
    assert finished.report.is_file()
    engine = CountingEngine()
    resumed = run(request_for(), engine=engine)
    assert engine.opened == ["b-second"]
    assert resumed.run.run.complete


def test_equal_submissions_are_pointed_out(submit: Submit, request_for: Request) -> None:
    submit("one")
    submit("copy")
    rows = by_name(run(request_for(), engine=InlineEngine()))
    assert rows["one"].notes == ["same code and weights as copy"]
    assert rows["copy"].notes == ["same code and weights as one"]


def test_a_submission_named_like_a_baseline_keeps_its_own_row(submit: Submit, request_for: Request) -> None:
    submit("Bicubic")
    entries = run(request_for(with_baselines=True), engine=InlineEngine()).run.entries
    slugs = [entry.slug for entry in entries]
    assert len(set(slugs)) == len(slugs)
    assert {entry.kind for entry in entries if entry.name == "Bicubic"} == {"submission", "baseline"}


def test_names_that_turn_into_a_baselines_slug_do_not_change_its_row(
    submit: Submit, request_for: Request, tmp_path: Path
) -> None:
    honest = run(request_for(submissions=(submit("honest"),), with_baselines=True), engine=InlineEngine()).run.entries
    for name in ("Bicubic", "baseline-Bicubic", "bicubic", "Bicubic 2", "Bicubic-2"):
        submit(name, "x = x * 0.5")
    entries = run(request_for(with_baselines=True), engine=InlineEngine()).run.entries
    slugs = [entry.slug.casefold() for entry in entries]
    assert len(set(slugs)) == len(slugs)
    figures = {entry.slug: (entry.psnr_rgb, entry.params) for entry in entries if entry.kind == "baseline"}
    assert figures == {entry.slug: (entry.psnr_rgb, entry.params) for entry in honest if entry.kind == "baseline"}
    named = [entry for entry in entries if entry.name == "Bicubic" and entry.kind == "submission"]
    assert named[0].notes[-2:][0].startswith("its name looks like that of the baseline Bicubic")


def test_a_copy_does_not_get_the_row_of_another_submission(
    submit: Submit, request_for: Request, tmp_path: Path
) -> None:
    submit("one")
    engine = CountingEngine()
    run(request_for(), engine=engine)
    submit("a-copy")
    shutil.copytree(tmp_path / "submissions" / "one", tmp_path / "submissions" / "one-again")
    rows = run(request_for(), engine=engine).run.entries
    assert engine.opened == ["one", "a-copy", "one"]
    assert len({row.fingerprint for row in rows}) == 3
    run(request_for(), engine=engine)
    assert len(engine.opened) == 3


def test_options_that_contradict_are_refused(submit: Submit, request_for: Request) -> None:
    submit("one")
    with pytest.raises(UsageError, match="not 3"):
        run(request_for(track="ntire23-x2", scale=3))
    with pytest.raises(UsageError, match="is not available"):
        run(request_for(device="xpu"))
    with pytest.raises(UsageError, match="no submission is left"):
        run(request_for(only=("nobody",)))


def test_networks_that_take_turns_end_in_the_same_table(submit: Submit, request_for: Request) -> None:
    submit("one")
    submit("two", "x = x * 0.999")
    submit("bad", "raise RuntimeError('inside')")
    engine = CountingEngine()
    request = request_for(protocol="robust", time_budget_s=0.3, with_baselines=True, only=("one", "two", "bad"))
    finished = run(request, engine=engine)
    rows = by_name(finished)
    assert engine.anchors == 1  # for the ceilings and for the rounds
    assert rows["bad"].error.stage == "load"
    for name in ("one", "two"):
        assert (rows[name].status, rows[name].error) == ("ok", None)
        samples = json.loads((finished.folder / "samples" / f"{name}.json").read_text())
        assert len(samples["samples"]) == sum(turn["calls"] for turn in samples["rounds"])
        assert rows[name].runtime_ms.samples == len(samples["samples"])
        assert rows[name].psnr_rgb is not None
        assert rows[name].peak_memory_bytes is not None
    assert finished.run.protocol.name == "robust"
    opened = len(engine.opened)
    again = run(request, engine=engine)
    assert len(engine.opened) == opened
    assert again.run.entries == finished.run.entries


def test_what_is_padded_takes_several_calls_a_turn_too(submit: Submit, request_for: Request) -> None:
    """Frames are 24 x 32: multiples of 4, and not both of 16."""
    for name, multiple in {"four": 4, "sixteen": 16}.items():
        submit(name, f"assert x.shape[-2] % {multiple} == 0 and x.shape[-1] % {multiple} == 0")
    finished = run(request_for(protocol="robust", time_budget_s=0.3, with_baselines=False), engine=InlineEngine())
    calls = {}
    for name in ("four", "sixteen"):
        assert by_name(finished)[name].status == "ok", by_name(finished)[name].error
        samples = json.loads((finished.folder / "samples" / f"{name}.json").read_text())
        calls[name] = {turn["calls"] for turn in samples["rounds"]}
    assert max(calls["sixteen"]) > 1
    assert max(calls["four"]) > 1


def test_an_interrupt_between_turns_keeps_what_was_finished(submit: Submit, request_for: Request) -> None:
    submit("a-broken", scales="[3]")
    submit("b-first")
    submit("c-second", "x = x * 0.999")

    class Interrupted(CountingEngine):
        def open(self, job: Job) -> Session:
            if len(self.opened) == 2:
                raise KeyboardInterrupt
            return super().open(job)

    request = request_for(protocol="robust", time_budget_s=0.2)
    finished = run(request, engine=Interrupted())
    assert list(by_name(finished)) == ["a-broken"]
    assert not finished.run.run.complete
    assert {e.status for e in run(request, engine=InlineEngine()).run.entries} == {"ok", "unsupported"}


def test_groups_that_fill_the_memory_are_timed_one_after_the_other(submit: Submit, request_for: Request) -> None:
    submit("one")
    submit("two", "x = x * 0.999")
    engine = CountingEngine()
    request = request_for(protocol="robust", time_budget_s=0.2, memory_bytes=1 << 20)
    rows = by_name(run(request, engine=engine))
    assert (engine.opened, engine.anchors) == (["one", "two"], 1)  # the anchor is one for both groups
    assert {row.status for row in rows.values()} == {"ok"}


def test_each_image_is_called_once_by_the_efficient_challenges_protocol(submit: Submit, request_for: Request) -> None:
    submit("one")
    row = by_name(run(request_for(protocol="esr", time_budget_s=None), engine=InlineEngine()))["one"]
    assert row.runtime_ms.samples == 2


def test_a_stored_run_is_summarised_again_by_another_statistic(submit: Submit, request_for: Request) -> None:
    submit("one")
    finished = run(request_for(protocol="robust", time_budget_s=0.2), engine=InlineEngine())
    record = read_timing(finished.folder, "one")
    times = [ms for _, ms in record.samples]
    assert summarise_record(record, get_protocol("ntire23").summary_rule).mean == pytest.approx(fmean(times))
    assert (
        summarise_record(record, get_protocol("robust").summary_rule).median
        == by_name(finished)["one"].runtime_ms.median
    )


@pytest.mark.parametrize("protocol", ["ntire23-cpu", "robust"])
def test_a_submission_is_timed_alone_without_images(submit: Submit, request_for: Request, protocol: str) -> None:
    submit("one")
    submit("bad", "raise RuntimeError('inside')")
    times = time_submission(request_for(protocol=protocol, time_budget_s=0.2), engine=InlineEngine())
    rows = {row.name: row for row in times.rows}
    assert rows["one"].runtime.samples >= 3
    assert rows["one"].runtime.median > 0
    assert rows["one"].error is None
    assert rows["bad"].runtime is None
    assert "inside" in rows["bad"].error.message
    assert times.protocol.name == protocol


@pytest.mark.parametrize("calls", [0, 7])
def test_without_the_anchor_networks_are_timed_alone(submit: Submit, request_for: Request, calls: int) -> None:
    submit("one")
    submit("two", "x = x * 0.999")
    finished = run(request_for(protocol="robust", time_budget_s=0.3), engine=FailingAnchor(calls))
    rows = by_name(finished)
    assert {row.status for row in rows.values()} == {"ok"}
    assert {row.runtime_ms.samples >= 3 for row in rows.values()} == {True}
    assert "anchor network failed" in rows["two"].runtime_ms.note
    assert any("no room" in warning for warning in finished.run.warnings)
    again = run(request_for(protocol="robust", time_budget_s=0.3), engine=FailingAnchor(calls))
    assert again.run.warnings == finished.run.warnings


CROWDED = """
import sys

def crowd():
    frame, names = sys._getframe(), set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    if "time_forward" in names:
        sys.timed_calls += 1
        if sys.timed_calls == 2:
            raise torch.OutOfMemoryError("no room")

"""


def test_what_finds_no_room_among_others_is_timed_alone(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "timed_calls", 0, raising=False)
    submit("one")
    submit("two", "crowd()", before=CROWDED)
    engine = CountingEngine()
    rows = by_name(run(request_for(protocol="robust", time_budget_s=0.3), engine=engine))
    assert (engine.opened, engine.anchors) == (["one", "two", "two"], 1)
    assert {row.status for row in rows.values()} == {"ok"}
    assert rows["two"].peak_memory_bytes is not None


def test_a_second_run_on_a_folder_is_refused_and_harms_nothing(submit: Submit, request_for: Request) -> None:
    submit("one")

    class Meanwhile(CountingEngine):
        """Starts the same run again while the first is at work."""

        def open(self, job: Job) -> Session:
            with pytest.raises(ResultsError, match="another run is writing here"):
                run(request_for(), engine=InlineEngine())
            return super().open(job)

    finished = run(request_for(), engine=Meanwhile())
    assert {entry.status for entry in finished.run.entries} == {"ok"}


def test_a_clock_that_jumps_back_changes_nothing(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither durations nor what is repeated may hang on the time of day."""
    submit("one")
    engine = CountingEngine()
    first = run(request_for(), engine=engine)
    (stored,) = (first.folder / "measurements").iterdir()
    jumps = itertools.count()
    monkeypatch.setattr("time.time", lambda: 1e9 - 86_400.0 * next(jumps))
    os.utime(stored, (4e9, 4e9))  # written in the future
    submit("two", "x = x * 0.999")
    second = run(request_for(), engine=engine)
    assert engine.opened == ["one", "two"]
    rows = by_name(second)
    assert rows["one"].runtime_ms == by_name(first)["one"].runtime_ms
    assert rows["two"].status == "ok"
    assert 0 < rows["two"].runtime_ms.median < 1e4


@pytest.mark.parametrize("damage", [b"", b'{"schema_version": 1', b"\0" * 4096])
def test_damaged_result_files_are_made_again(submit: Submit, request_for: Request, damage: bytes) -> None:
    submit("one")
    submit("two", "x = x * 0.999")
    engine = CountingEngine()
    first = run(request_for(), engine=engine)
    (first.folder / "results.json").write_bytes(damage)
    victim = next(iter(sorted((first.folder / "measurements").iterdir())))
    victim.write_bytes(damage)
    (first.folder / "samples" / "one.json").write_bytes(damage)
    second = run(request_for(), engine=engine)
    assert len(engine.opened) == 3
    assert second.run == read_run(second.folder)
    for name, row in by_name(first).items():
        assert by_name(second)[name].psnr_rgb == row.psnr_rgb
    assert json.loads((second.folder / "samples" / "one.json").read_text())["slug"] == "one"
