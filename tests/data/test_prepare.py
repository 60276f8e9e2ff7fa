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
    with pytest.raises(UsageError, match="no multiple"):
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
