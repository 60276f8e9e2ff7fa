"""A run's folder tells how far the run is, while it goes on and no longer."""

import json
from pathlib import Path

import pytest

from harness.results import Measurement, RunStore
from harness.results.progress import (
    FILE,
    RunProgress,
    describe_stage,
    describe_time_left,
    read_progress,
    write_progress,
)
from harness.results.schema import ErrorInfo
from harness.run.progress import Progress
from harness.run.progress_file import ProgressFile

DONE = Measurement(fingerprint="abc", created="2026-01-01T00:00:00+00:00", status="ok")
NAMES = [("lrsrn", "LRSRN"), ("crc", "CRC")]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def state_in(folder: Path) -> RunProgress:
    state = read_progress(folder)
    assert state is not None
    return state


def test_the_file_follows_the_run_and_goes_with_it(tmp_path: Path) -> None:
    clock = Clock()
    with ProgressFile(tmp_path) as file:
        progress = Progress([file], clock)
        progress.start(NAMES, 6, 8.0)
        assert (state_in(tmp_path).total, state_in(tmp_path).done) == (2, 0)
        progress.stage("lrsrn", "load")
        clock.now = 5.0
        progress.timing("lrsrn", 0, 1, 0.0, "at 3840x2160")
        state = state_in(tmp_path)
        assert (state.total, state.done, state.name) == (2, 0, "LRSRN")
        assert (state.stage, state.detail) == ("time", "at 3840x2160")
        assert 0 < state.share < 0.5
        assert state.seconds_left is not None
        progress.finish("lrsrn", DONE, reused=False)
        progress.stage("crc", "load")
        later = state_in(tmp_path)
        assert (later.done, later.name) == (1, "CRC")
        assert later.share > state.share
        error = ErrorInfo(stage="load", type="ImportError", message="no module\nof that name")
        progress.finish("crc", DONE.model_copy(update={"status": "failed", "error": error}), reused=False)
        assert [(one.name, one.status, one.reason) for one in state_in(tmp_path).finished] == [
            ("LRSRN", "ok", ""),
            ("CRC", "failed", "load: no module"),
        ]
        progress.end()
        assert state_in(tmp_path).stage == "scores and report"
    assert read_progress(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_file_goes_after_an_error_too(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ProgressFile(tmp_path) as file:
            Progress([file]).start(NAMES, 6)
            assert (tmp_path / FILE).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_was_writing_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_progress(tmp_path, RunProgress(pid=1, total=2, done=0))
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    with RunStore(tmp_path).locked():
        assert not list(tmp_path.glob(".progress*"))


def test_in_rounds_the_network_at_work_is_named(tmp_path: Path) -> None:
    with ProgressFile(tmp_path, every_s=0) as file:
        progress = Progress([file])
        progress.start(NAMES, 1)
        progress.stage("lrsrn", "load")
        progress.stage("crc", "load")
        progress.timing("lrsrn", 1, 3, 0.3)
        state = state_in(tmp_path)
        assert (state.name, state.stage, state.process, state.processes) == ("LRSRN", "time", 2, 3)


def test_a_stage_of_many_calls_writes_seldom(tmp_path: Path) -> None:
    with ProgressFile(tmp_path, every_s=3600) as file:
        progress = Progress([file])
        progress.start(NAMES, 1)
        progress.timing("lrsrn", 0, 1, 0.2, "call 1")
        progress.timing("lrsrn", 0, 1, 0.3, "call 2")
        assert state_in(tmp_path).detail == "call 1"


def test_submissions_of_an_earlier_run_write_seldom(tmp_path: Path) -> None:
    with ProgressFile(tmp_path, every_s=3600) as file:
        progress = Progress([file])
        progress.start(NAMES, 1)
        progress.finish("lrsrn", DONE, reused=True)
        assert state_in(tmp_path).done == 0
        progress.finish("crc", DONE, reused=False)
        assert state_in(tmp_path).done == 2


def test_a_name_that_json_cannot_hold_ends_no_run(tmp_path: Path) -> None:
    with ProgressFile(tmp_path) as file:
        progress = Progress([file])
        progress.start([("a", "a\udcff\x1b[31m")], 1)
        progress.stage("a", "load")
        assert json.loads((tmp_path / FILE).read_bytes())["name"] == "a\ufffd\ufffd[31m"


def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    with ProgressFile(tmp_path / "nowhere") as file:
        Progress([file]).start(NAMES, 1)
    assert read_progress(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.0, "about 1 s left"),
        (42.4, "about 42 s left"),
        (90.0, "about 2 min left"),
        (3000.0, "about 50 min left"),
        (9000.0, "about 2.5 h left"),
    ],
)
def test_an_estimate_is_given_in_words(seconds: float | None, words: str) -> None:
    assert describe_time_left(seconds) == words


def test_a_process_is_named_where_there_are_several() -> None:
    assert describe_stage("time", "", 2, 3) == "time, process 2 of 3"
    assert describe_stage("upscale", "first", 1, 1) == "upscale first"
