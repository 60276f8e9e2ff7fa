"""Preparing a folder: the script's pixels, and nothing wrong or half-written whenever it was killed."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import PrepareOptions, get_degradation, jpeg, open_dataset, prepare, read_rgb, write_png
from harness.errors import DataError, UsageError

NTIRE23 = get_degradation("ntire23")


def image(seed: int, height: int = 50, width: int = 72) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    for index in range(4):
        write_png(tmp_path / "hr" / f"{index}.png", image(index))
    return tmp_path / "hr"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def states(hr: Path, out: Path, **options: object) -> list[str]:
    degradation, workers = options.pop("degradation", NTIRE23), options.pop("workers", None)
    return [one.state for one in prepare(hr, out, 2, degradation, PrepareOptions(**options), workers=workers)]


def script(hr: np.ndarray, scale: int, quality: int = 90) -> bytes:
    """Return the file that the released prepare_data.py writes for an image already cropped."""
    height, width = hr.shape[:2]
    stream = io.BytesIO()
    small = Image.fromarray(hr).resize((int(width / scale), int(height / scale)), resample=Image.Resampling.BICUBIC)
    small.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def test_the_scripts_files_and_its_centre_crop(hr: Path, out: Path) -> None:
    assert states(hr, out, crop=(40, 62)) == ["made"] * 4
    cropped = image(1)[5:45, 5:67]
    np.testing.assert_array_equal(read_rgb(out / "HR" / "1.png"), cropped)
    assert (out / "LR_x2" / "1.jpg").read_bytes() == script(cropped, 2)


def test_jpeg_sources_as_the_script_treats_them(tmp_path: Path, out: Path) -> None:
    (tmp_path / "hr").mkdir()
    Image.fromarray(image(0)).save(tmp_path / "hr" / "a.jpg")
    hr = read_rgb(tmp_path / "hr" / "a.jpg")
    states(tmp_path / "hr", out, as_script=True)
    assert (out / "LR_x2" / "a.jpg").read_bytes() == script(hr, 2, quality=100)
    states(tmp_path / "hr", out)
    assert (out / "LR_x2" / "a.jpg").read_bytes() == script(hr, 2)


def test_the_result_opens_as_a_data_set(hr: Path, out: Path, tmp_path: Path) -> None:
    states(hr, out)
    given = open_dataset(out, 2, NTIRE23)
    made = open_dataset(hr, 2, NTIRE23, tmp_path / "cache")
    assert given.names == made.names
    for index in range(4):
        for ours, theirs in zip(given.pair(index), made.pair(index), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_what_is_there_is_kept(hr: Path, out: Path) -> None:
    assert states(hr, out) == ["made"] * 4
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.is_file()}
    assert states(hr, out) == ["kept"] * 4
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_what_changed_is_made_again(hr: Path, out: Path) -> None:
    states(hr, out)
    write_png(hr / "1.png", image(9))
    (out / "LR_x2" / "2.jpg").write_bytes((out / "LR_x2" / "2.jpg").read_bytes()[:-40])
    (out / "HR" / "3.png").unlink()
    assert states(hr, out) == ["kept", "made", "made", "made"]
    assert (out / "LR_x2" / "1.jpg").read_bytes() == script(image(9), 2)


def test_other_settings_leave_nothing_of_the_old(hr: Path, out: Path) -> None:
    states(hr, out)
    assert states(hr, out, degradation=get_degradation("bicubic")) == ["made"] * 4
    assert {path.suffix for path in (out / "LR_x2").iterdir()} == {".png"}
    assert states(hr, out, degradation=jpeg(75)) == ["made"] * 4
    assert (out / "LR_x2" / "1.jpg").read_bytes() == script(image(1), 2, quality=75)


def test_a_bad_image_is_reported_and_the_rest_goes_on(hr: Path, out: Path) -> None:
    (hr / "1.png").write_bytes(b"no image")
    results = list(prepare(hr, out, 2, NTIRE23))
    assert Counter(one.state for one in results) == {"made": 3, "failed": 1}
    assert "1.png" in results[1].reason


def test_an_image_smaller_than_the_crop_is_named(hr: Path, out: Path) -> None:
    results = list(prepare(hr, out, 2, NTIRE23, PrepareOptions(crop=(60, 60))))
    assert all("72x50, too small" in one.reason for one in results)
    assert len(results) == 4


def test_mistakes_are_refused_before_anything_is_written(hr: Path, out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a multiple"):
        prepare(hr, out, 2, NTIRE23, PrepareOptions(crop=(41, 60)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        prepare(tmp_path / "empty", out, 2, NTIRE23)
    Image.fromarray(image(0)).save(hr / "0.bmp")
    with pytest.raises(DataError, match="several images called 0"):
        prepare(hr, out, 2, NTIRE23)
    assert not out.exists()


def test_runs_killed_at_any_moment_leave_whole_files_and_go_on(tmp_path: Path, out: Path, root: Path) -> None:
    hr = tmp_path / "many"
    for index in range(40):
        write_png(hr / f"{index:02}.png", image(index, 400, 600))
    code = (
        "import sys; from pathlib import Path; from harness.data import prepare, get_degradation\n"
        "for one in prepare(Path(sys.argv[1]), Path(sys.argv[2]), 2, get_degradation('ntire23'), workers=2): pass"
    )
    environment = {**os.environ, "PYTHONPATH": str(root)}
    for wanted in (3, 14, 27):  # three kills, each somewhere in the work that the one before left
        process = subprocess.Popen([sys.executable, "-c", code, str(hr), str(out)], env=environment)
        patience = time.monotonic() + 100
        while len(list(out.glob("LR_x2/*.jpg"))) < wanted and process.poll() is None and time.monotonic() < patience:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        written = [path for path in out.rglob("*") if path.suffix in (".jpg", ".png") and path.name[0] != "."]
        assert len(written) >= wanted
        for path in written:
            read_rgb(path)
    assert Counter(one.state for one in prepare(hr, out, 2, NTIRE23)).keys() <= {"made", "kept"}
    assert not list(out.rglob("*.part"))
    for index in range(40):
        assert (out / "LR_x2" / f"{index:02}.jpg").read_bytes() == script(image(index, 400, 600), 2)


def test_what_a_killed_run_left_half_written_is_deleted_unless_somebody_writes(hr: Path, out: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from harness.data import prepare, get_degradation\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # the content is there, the name is not\n"
        "list(prepare(Path(sys.argv[1]), Path(sys.argv[2]), 2, get_degradation('ntire23'), workers=1))"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(hr), str(out)], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (left,) = out.rglob("*.part")

    not_ours = out / "notes.part"
    not_ours.write_text("of somebody else")

    at_work = prepare(hr, out, 2, NTIRE23, workers=1)
    next(at_work)
    assert not left.exists()
    left.write_bytes(b"half of a file that the first one is writing")
    assert {*states(hr, out)} <= {"made", "kept"}
    assert left.exists()
    assert {one.state for one in at_work} <= {"made", "kept"}

    assert states(hr, out) == ["kept"] * 4
    assert not left.exists()
    assert not_ours.exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Return a data set whose HR images need no crop at scale 2."""
    for index in range(2):
        write_png(tmp_path / "set" / "HR" / f"{index}.png", image(index))
    return tmp_path / "set"


@pytest.mark.parametrize("way", ["absolute", "relative", "linked folder", "linked images", "linked target", "jpeg"])
def test_hr_images_in_place_are_left_as_they_are(
    given: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = given / "HR", given
    monkeypatch.chdir(tmp_path)
    if way == "relative":
        source = Path("set/../set/HR")
    elif way == "linked folder":
        source = tmp_path / "link"
        source.symlink_to(given / "HR")
    elif way == "linked images":
        source = tmp_path / "links"
        source.mkdir()
        for path in (given / "HR").iterdir():
            (source / path.name).symlink_to(path)
    elif way == "linked target":
        target = tmp_path / "out"
        target.mkdir()
        (target / "HR").symlink_to(source)
    elif way == "jpeg":
        Image.fromarray(image(7)).save(given / "HR" / "7.jpg")
    before = contents(given / "HR")
    assert set(states(source, target)) == {"made"}
    assert set(states(source, target, with_hr=False, degradation=get_degradation("bicubic"))) == {"made"}
    assert set(states(source, target, degradation=get_degradation("bicubic"))) == {"made"}
    assert contents(given / "HR") == before
    assert len(open_dataset(target, 2, NTIRE23)) == len(before)


def test_a_record_that_lists_a_source_does_not_have_it_deleted(hr: Path, out: Path) -> None:
    states(hr, out)
    before = contents(out / "HR")
    assert set(states(out / "HR", out, with_hr=False, degradation=get_degradation("bicubic"))) == {"made"}
    assert contents(out / "HR") == before


@pytest.mark.parametrize(
    ("scale", "crop", "message"), [(3, None, "its own crop of 72x48"), (2, (20, 30), "its own crop of 30x20")]
)
def test_hr_images_in_place_that_need_a_crop_are_refused(
    given: Path, scale: int, crop: tuple[int, int] | None, message: str
) -> None:
    before = contents(given)
    with pytest.raises(DataError, match=message) as caught:
        prepare(given / "HR", given, scale, NTIRE23, PrepareOptions(crop))
    assert caught.value.where == str(given / "HR" / "0.png")
    assert "output folder" in str(caught.value)
    assert contents(given) == before


def test_lr_images_as_sources_are_not_overwritten(hr: Path, out: Path) -> None:
    states(hr, out, degradation=get_degradation("bicubic"))
    before = contents(out)
    for scale in (2, 4):
        with pytest.raises(DataError, match="output folder"):
            prepare(out / "LR_x2", out, scale, get_degradation("bicubic"))
    assert contents(out) == before


@pytest.mark.parametrize("name", ["LR_x2/0.png", "LR_x2/0.jpg", "LR_x2/0x2.png", "HR/0.png", "HR/0.bmp"])
def test_files_that_prepare_did_not_make_are_not_replaced(hr: Path, out: Path, name: str) -> None:
    (out / name).parent.mkdir(parents=True)
    Image.fromarray(image(5, 25, 36)).save(out / name)
    before = contents(out)
    with pytest.raises(DataError, match=r"is there already|0\.jpg.* are LR images of the same HR image") as caught:
        prepare(hr, out, 2, NTIRE23)
    assert str((out / name).parent) in str(caught.value)
    assert "elsewhere" in (caught.value.hint or "")
    assert contents(out) == before


def test_a_second_scale_with_another_crop_is_refused(hr: Path, out: Path) -> None:
    states(hr, out)
    before = contents(out)
    for options in (PrepareOptions(), PrepareOptions(with_hr=False), PrepareOptions((48, 48))):
        with pytest.raises(DataError, match=r"LR_x2 needs HR cropped to 72x50, and scale 3 a crop of") as caught:
            prepare(hr, out, 3, NTIRE23, options)
        assert "output folder" in str(caught.value)
    write_png(hr / "0.png", image(9, 48, 72))
    with pytest.raises(DataError, match="LR_x2 was made from another image"):
        prepare(hr, out, 3, NTIRE23)
    assert contents(out) == before


def test_two_scales_share_the_hr_images_of_one_crop(hr: Path, out: Path) -> None:
    states(hr, out, crop=(48, 72))
    assert {one.state for one in prepare(hr, out, 3, NTIRE23, PrepareOptions((48, 72)))} == {"made"}
    assert states(hr, out, crop=(48, 72)) == ["kept"] * 4
    assert states(hr, out, crop=(48, 72), with_hr=False) == ["made"] * 4
    for scale in (2, 3):
        assert open_dataset(out, scale, NTIRE23).pair(0)[1].shape == (48, 72, 3)


def test_a_file_that_cannot_be_removed_is_named(hr: Path, out: Path) -> None:
    states(hr, out)
    (out / "LR_x2" / "1.jpg").unlink()
    (out / "LR_x2" / "1.jpg").mkdir()
    results = list(prepare(hr, out, 2, get_degradation("bicubic")))
    assert [one.state for one in results] == ["made", "failed", "made", "made"]
    assert "1.jpg: cannot be removed" in results[1].reason
