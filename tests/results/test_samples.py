"""Timing samples are read back as they were written."""

from pathlib import Path

import pytest

from harness.errors import ResultsError
from harness.files import write_atomically
from harness.results.measurement import RoundTimes, TimingRecord
from harness.results.run_folder import RunFolder
from harness.results.samples import read_timing, timing_text
from harness.results.store import read_run

RECORD = TimingRecord(
    clock="monotonic",
    warmup=[(-1.0, 20.0)],
    samples=[(0.0, 10.0), (0.1, 11.0)],
    rounds=[RoundTimes(number=0, calls=2, anchor_ms=(1.0, 1.1))],
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    write_atomically(tmp_path / "samples" / "one.json", timing_text("one", RECORD))
    return RunFolder(tmp_path, read_run(Path(__file__).parents[2] / "reports" / "sample"))


def test_a_timing_comes_back_as_it_was_written(folder: RunFolder) -> None:
    assert read_timing(folder.path, "one") == RECORD
    assert folder.timing("one") == RECORD


def test_what_was_not_timed_has_no_samples(folder: RunFolder) -> None:
    assert folder.timing("two") is None
    with pytest.raises(ResultsError, match="no timing samples"):
        read_timing(folder.path, "two")


def test_a_file_that_may_be_lost_is_written_without_waiting_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("harness.files.os.fsync", synced.append)
    write_atomically(tmp_path / "page.html", b"made again", sync=False)
    assert (tmp_path / "page.html").read_bytes() == b"made again"
    assert synced == []
    write_atomically(tmp_path / "results.json", b"measured")
    assert len(synced) == 1
