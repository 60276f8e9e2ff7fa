"""What is stored survives damage, a second writer and a full disk."""

import json
from pathlib import Path

import pytest

from harness.errors import ResultsError, UsageError
from harness.files import write_atomically
from harness.results import Measurement, RunStore, TimingRecord, combine, fingerprint_folder, read_run
from harness.results.measurement import Layer
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry, ErrorInfo


def measurement(fingerprint: str = "abc") -> Measurement:
    return Measurement(fingerprint=fingerprint, created="2026-01-01T00:00:00+00:00", status="ok", params=7)


def test_a_measurement_comes_back_as_it_was(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.save_measurement(measurement())
    assert store.measurement("abc") == measurement()
    assert store.measurement("other") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"fingerprint": "abc"}', b"\xff\xfe"])
def test_a_damaged_measurement_counts_as_missing(tmp_path: Path, damage: bytes) -> None:
    store = RunStore(tmp_path)
    store.save_measurement(measurement())
    (tmp_path / "measurements" / "abc.json").write_bytes(damage)
    assert store.measurement("abc") is None


def test_a_measurement_under_another_name_is_not_believed(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.save_measurement(measurement())
    (tmp_path / "measurements" / "abc.json").rename(tmp_path / "measurements" / "def.json")
    assert store.measurement("def") is None


def test_a_references_psnr_comes_back_to_the_last_digit_or_not_at_all(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.save_reference_psnr("abc", 33.91600000000001)
    assert store.reference_psnr("abc") == 33.91600000000001
    assert store.reference_psnr("other") is None
    for damage in (b"", b"{}", b"[1]", b'{"psnr": NaN}', b'{"psnr": "33"}', b"\xff"):
        (tmp_path / "reference" / "abc.json").write_bytes(damage)
        assert store.reference_psnr("abc") is None
    store.save_reference_psnr("abc", 30.0)
    store.forget_measurements()
    assert store.reference_psnr("abc") is None


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with RunStore(tmp_path).locked(), pytest.raises(ResultsError, match="another run"), RunStore(tmp_path).locked():
        pass
    with RunStore(tmp_path).locked():
        pass  # free again


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.json"
    write_atomically(target, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.files.os.fsync", full)
    with pytest.raises(ResultsError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_unreadable_results_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no results here"):
        read_run(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ResultsError, match="not JSON"):
        read_run(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(ResultsError, match="schema version 99"):
        read_run(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(ResultsError, match="Field required"):
        read_run(tmp_path)


def test_the_status_decides_which_fields_exist() -> None:
    reason = ErrorInfo(stage="load", type="ImportError", message="no")
    with pytest.raises(ValueError, match="must say why"):
        Entry(name="a", kind="submission", status="failed")
    with pytest.raises(ValueError, match="carries an error"):
        Entry(name="a", kind="submission", status="ok", error=reason)
    with pytest.raises(ValueError, match="no score"):
        Entry(name="a", kind="submission", status="failed", error=reason, score=3.0)


def test_a_fingerprint_follows_what_is_measured(tmp_path: Path) -> None:
    (tmp_path / "arch.py").write_text("x = 1\n")
    (tmp_path / "submission.toml").write_text("name = 'a'\n")
    before = fingerprint_folder(tmp_path)
    (tmp_path / "submission.toml").write_text("name = 'b'\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_bytes(b"1")
    assert fingerprint_folder(tmp_path) == before
    (tmp_path / "arch.py").write_text("x = 2\n")
    edited = fingerprint_folder(tmp_path)
    assert edited != before
    (tmp_path / "arch.py").rename(tmp_path / "arch2.py")
    assert fingerprint_folder(tmp_path) not in {before, edited}


@pytest.mark.parametrize(
    "name",
    ["__pycache__/arch.cpython-311.pyc", "utils/README.md", "utils/results/net.py", "weights/submission.toml", "a.so"],
)
def test_a_fingerprint_covers_all_that_code_can_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "arch.py").write_text("x = 1\n")
    before = fingerprint_folder(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"1")
    first = fingerprint_folder(tmp_path)
    (tmp_path / name).write_bytes(b"2")
    assert len({before, first, fingerprint_folder(tmp_path)}) == 3


def test_a_link_is_not_left_out_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    before = fingerprint_folder(tmp_path)
    (tmp_path / "README.md").symlink_to("code.py")
    assert fingerprint_folder(tmp_path) != before


def test_a_combined_fingerprint_does_not_depend_on_the_order() -> None:
    assert combine({"a": 1, "b": [2, None]}) == combine({"b": [2, None], "a": 1})
    assert combine({"a": 1}) != combine({"a": 2})


def test_layers_lie_beside_the_run_and_come_back(tmp_path: Path) -> None:
    layer = Layer(name="head", type="Conv2d", kernel=[3, 3], params=896, macs=1_791_590_400, calls=1)
    run = read_run(Path(__file__).parents[2] / "reports" / "sample")
    with_layers = measurement().model_copy(update={"layers": [layer]})
    RunStore(tmp_path).save_run(run, {"row-0": with_layers, "row-1": measurement("def")})
    assert RunFolder(tmp_path, run).layers("row-0") == [layer]
    assert RunFolder(tmp_path, run).layers("row-1") == []


def test_a_file_that_holds_the_content_already_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"one")
    before = path.stat()
    write_atomically(path, b"one")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write_atomically(path, b"two")  # as long, and different
    assert path.read_bytes() == b"two"


def test_files_of_an_earlier_measurement_of_a_row_go_with_it(tmp_path: Path) -> None:
    """A network that fails today has no layers, and no times, of the day before."""
    run = read_run(Path(__file__).parents[2] / "reports" / "sample")
    timing = TimingRecord(clock="scripted", samples=[(0.0, 1.0)])
    layer = Layer(name="head", type="Conv2d", kernel=[3, 3], params=896, macs=1_791_590_400, calls=1)
    whole = measurement().model_copy(update={"layers": [layer], "timing": timing})
    store = RunStore(tmp_path)
    store.save_run(run, {"row-0": whole, "row-1": whole})
    store.save_run(run, {"row-0": measurement(), "row-1": whole})
    assert sorted(path.stem for path in (tmp_path / "layers").iterdir()) == ["row-1"]
    assert sorted(path.stem for path in (tmp_path / "samples").iterdir()) == ["row-1"]


@pytest.mark.parametrize("name", ["measurements", "reference", "crops", "unfinished"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_with_files_of_the_user_is_no_run_folder(tmp_path: Path, name: str, fresh: bool) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "day-1.json").write_text("{}")
    with pytest.raises(UsageError, match=rf"holds {name}.*--out"), RunStore(tmp_path).locked(fresh=fresh):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "day-1.json").read_text() == "{}"


def test_the_folder_of_a_run_is_one_again(tmp_path: Path) -> None:
    with RunStore(tmp_path / "killed").locked():
        RunStore(tmp_path / "killed").save_measurement(measurement())
    RunStore(tmp_path / "saved-elsewhere").save_measurement(measurement("0af3" * 16))
    RunStore(tmp_path / "copied").save_unfinished(measurement("0af3" * 16))
    for name in ("killed", "saved-elsewhere", "copied"):
        with RunStore(tmp_path / name).locked(fresh=True):
            assert not (tmp_path / name / "measurements").exists()
