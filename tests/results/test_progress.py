"""A run's folder tells how far the run is, while it goes on and no longer."""

from pathlib import Path

import pytest

from harness.results import Measurement, RunStore
from harness.results.progress import Progress, read_progress, write_progress
from harness.run.progress import Recorded, Silent

DONE = Measurement(fingerprint="abc", created="2026-01-01T00:00:00+00:00", status="ok")


def test_the_file_follows_the_run_and_goes_with_it(tmp_path: Path) -> None:
    with Recorded(Silent(), tmp_path) as listener:
        listener.run_begins(4, 6)
        listener.submission_begins("LRSRN")
        listener.stage("load", done=0.05)
        listener.stage("time", "at 3840x2160", done=0.2)
        seen = read_progress(tmp_path)
        assert seen is not None
        assert (seen.total, seen.done, seen.name, seen.stage) == (4, 0, "LRSRN", "time at 3840x2160")
        assert seen.share == pytest.approx(0.05)
        listener.submission_ends("LRSRN", DONE, reused=False)
        listener.submission_begins("CRC")
        listener.stage("load", done=0.5)
        seen = read_progress(tmp_path)
        assert seen is not None
        assert (seen.done, seen.name, seen.share) == (1, "CRC", pytest.approx(0.375))
    assert read_progress(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_was_writing_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_progress(tmp_path, Progress(pid=1, total=2, done=0))
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    with RunStore(tmp_path).locked():
        assert not list(tmp_path.glob(".progress*"))


def test_in_rounds_the_network_at_work_is_named(tmp_path: Path) -> None:
    with Recorded(Silent(), tmp_path, every_s=0) as listener:
        listener.run_begins(2, 1)
        listener.submission_begins("LRSRN")
        listener.stage("time", "in rounds: CRC", done=0.3)
        seen = read_progress(tmp_path)
        assert seen is not None
        assert (seen.name, seen.stage, seen.share) == ("CRC", "time in rounds", pytest.approx(0.15))


def test_a_stage_of_many_calls_writes_seldom(tmp_path: Path) -> None:
    with Recorded(Silent(), tmp_path, every_s=3600) as listener:
        listener.run_begins(1, 1)
        listener.submission_begins("LRSRN")
        listener.stage("time", "call 1", done=0.2)
        listener.stage("time", "call 2", done=0.3)
        seen = read_progress(tmp_path)
        assert seen is not None
        assert seen.stage == "time call 1"


def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    with Recorded(Silent(), tmp_path / "nowhere") as listener:
        listener.run_begins(1, 1)
    assert read_progress(tmp_path / "nowhere") is None
